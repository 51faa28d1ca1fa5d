# Slips of the pen, and what one reads of them. 2: the command line; 3: refused; 4: malformed; 5: wait, or mend the path.
$ salus read --as clinician@mercy --patient 1
! 3
*[node.no_network]
*salus up*
$ salus new --jurisdiction mars
! 2
*mars is not one of eu, us*
$ salus new
$ salus new
! 5
*[node.folder]
$ salus patient new --writer mercy
$ salus pateint list
! 2
*Did you mean 'patient'?
$ salus read --patient 1
! 2
*Missing option '--as'*
$ salus read --as clinician@mercy
! 2
*--patient 1*
$ salus read --as doctor@mercy --patient 1
! 3
*[cli.unknown_person]
*clinician@mercy*
$ salus read --as clinician@mercie --patient 1
! 3
*[cli.unknown_member]
$ salus read --as clinician@mercy --patient 7
! 3
*[cli.unknown_patient]
$ salus consent grant --as clinician@mercy --to st-luke --for TREAT
! 3
*[cli.not_theirs]
$ salus consent grant --as patient:1 --to st-luke --for treatmnt
! 4
*like: treatment*[cli.word]
$ salus consent grant --as patient:1 --to st-luke --for TREAT --except label:PSI
! 4
*PSY*[cli.word]
$ salus consent grant --as patient:1 --to st-luke --for TREAT --since 2019-13
! 4
*[cli.word]
$ salus consent grant --as patient:1 --to st-luke --for TREAT --since 2020 --data-until 2019
! 4
*[consent.bad_period]
$ salus consent grant --as patient:1 --to st-luke --for TREAT --type Observatoin
! 4
*Observation*[cli.word]
$ salus consent grant --as patient:1 --to st-luke --for TREAT --until 2019-01-01
! 4
*[cli.past]
*--until*
$ salus consent revoke --as patient:1
! 2
*say which*
$ salus consent revoke --as patient:1 --rule 3
! 3
*[cli.unknown_rule]
$ salus receipt 0123456789
! 3
*[cli.unknown_transaction]
$ salus ledger show --block 4000
! 3
*[cli.unknown_transaction]
$ salus import nowhere
! 4
*[fhir.unreadable]
$ salus verify nothing.receipt
! 5
*[cli.file]
$ salus consent show --as patient:1
There are no rules: what the law says holds.
