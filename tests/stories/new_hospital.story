# A patient with a wallet of their own moves, and lets a third hospital write.
$ salus new
$ salus patient new --writer mercy --writer st-luke --name Noor
patient:1 is new; an own device keeps the keys. Writers: mercy, st-luke.
$ salus consent deny --as patient:1 --only HIV
In force from block * on: Anyone may not use records of label:HIV (HIV).
$ salus patient link --as patient:1 --to nowhere
! 3
*[cli.unknown_member]
$ salus patient link --as patient:1 --to lakeside
lakeside may write about patient:1 now. Show this code at its desk: {code}
$ salus patient link --as clerk@northgate --code {code}
! 3
*[sdk.no_such_subject]
$ salus patient link --as clerk@lakeside --code {code}
lakeside is linked to patient:1 now.

# The code is good for once.
$ salus patient link --as clerk@lakeside --code {code}
! 3
*[sdk.no_such_subject]
$ salus patient link --as patient:1 --to northgate --accept
northgate may write about patient:1 now, and knows them.
$ salus consent show --as patient:1
patient:1: live, version 3; keys on an own device.
Writers: mercy, st-luke, lakeside, northgate.

# Another patient has no device: Mercy keeps the keys, and must ask before it widens.
$ salus patient new --writer mercy --writer st-luke --custodian mercy
patient:2 is new; mercy keeps the keys. Writers: mercy, st-luke.
$ salus patient link --as patient:2 --to lakeside --accept
! 3
*[keeper.widening_waits]
$ write letter.txt the patient asked for it
$ salus patient link --as patient:2 --to lakeside --accept --evidence letter.txt --witness northgate
! 3
*may: st-luke)*[cli.no_witness]
$ salus patient link --as patient:2 --to lakeside --accept --evidence letter.txt --witness st-luke
lakeside may write about patient:2 now, and knows them.

# To narrow is free, to widen again is not.
$ salus consent deny --as patient:2 --to northgate
In force from block * on: northgate may not use all records.
$ salus consent revoke --as patient:2 --to northgate
! 3
*[keeper.widening_waits]
