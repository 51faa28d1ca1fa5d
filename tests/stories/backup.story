# The machine room floods. There is a backup, and a passphrase that lies elsewhere.
$ salus new
$ salus patient new --writer mercy --writer st-luke
$ write passphrase.txt six words drawn by mere chance
$ write wrong.txt six words that somebody remembers
$ salus backup monday --member mercy --passphrase-file passphrase.txt
The backup of mercy is in monday: * files.
*
Keep the passphrase elsewhere: nothing else opens it.
$ salus backup monday --member mercy --passphrase-file passphrase.txt
! 5
*[node.folder]
*

# Who has the file alone has nothing.
$ salus restore monday --into put-back --passphrase-file wrong.txt
! 3
*[backup.passphrase]
*Type it again*

# Nothing is ever put over what is there.
$ salus restore monday --into put-back --passphrase-file passphrase.txt
mercy of * is in put-back, as it was at *
Start it with: salus up --home put-back
It serves once it has caught up; *
$ salus restore monday --into put-back --passphrase-file passphrase.txt
! 3
*[backup.not_empty]
*Name a new folder*
