# Mrs Hale's chart lies at four hospitals. She is admitted at St Luke's, which so far knows only what it wrote itself.
$ salus new
A network of 4 members is in *network: mercy, st-luke, lakeside, northgate.
$ salus import {sample}
*2 patients (2 new).
334 records sealed*334 of them held by every keeper; 0 were here already, 0 replace an older version.
$ salus import {sample}
0 records sealed*334 were here already, 0 replace an older version.
$ salus patient list
patient:1  lakeside  *
patient:2  lakeside  *

# The clinician at St Luke's sees what St Luke's wrote, and nothing of the others, not even that it is there.
$ salus read --as clinician@st-luke --patient 1
* documents of 1 hospital, 0 gaps.
- *  lakeside  *
- *  mercy  *

# A hospital keeps her keys: it cannot widen access alone, nor read as her.
$ salus consent grant --as patient:1 --to st-luke --for TREAT
! 3
salus: A custodian's widening waits*[keeper.widening_waits]
*--evidence FILE --witness MEMBER*
$ salus read --as patient:1
! 3
*[keeper.person]
$ salus log --as patient:1
! 3
*[cli.custodial]
*salus patient claim*

# So she claims her record, with St Luke's as witness.
$ write identity.txt seen at the desk, passport shown
$ salus patient claim --as patient:1 --evidence identity.txt --witness mercy
patient:1 keeps their own keys now; lakeside has destroyed what it held.
$ salus patient claim --as patient:1 --evidence identity.txt --witness mercy
! 3
*[cli.already_own]
$ salus patient list
patient:1  own device*
patient:2  lakeside*

# Consent as people speak.
$ salus consent grant --as patient:1 --to st-luke --for TREAT --except "mental health" --since 2019 --until 2099-05-01
In force from block * on: st-luke may use all records for TREAT (treatment) with data since 2019-01-01, until 2099-05-01, except records of label:PSY (mental health).
$ salus consent show --as patient:1
patient:1: live, version 2; keys on an own device.
Writers: *
1. st-luke may use*
$ salus read --as clinician@st-luke --patient 1
* documents of 4 hospitals, 0 gaps.
- *Fluoxetine*
$ salus consent why --as patient:1 --reader clinician@st-luke --for TREAT
open * of lakeside:*
The patient's consent allows this.
closed * of lakeside:*
Nobody has allowed this; without the patient's consent it stays closed.
closed * of northgate:*
The law wants the patient to name this kind of information, and no consent given does so.
$ salus consent why --as patient:1 --reader researcher@st-luke --for research
- open*

# Substance use must be named to be opened.
$ salus consent grant --as patient:1 --to st-luke --for TREAT --only "substance use"
In force from block * on: st-luke may use records of label:SUD (substance use) for TREAT (treatment).
$ salus read --as clinician@st-luke --patient 1
*Alcohol*northgate  NORDSCLCD*

# Taken back, and refused from the next block on.
$ salus consent revoke --as patient:1 --to st-luke
Taken back from block * on: st-luke may use all records*
Taken back from block * on: st-luke may use records of label:SUD*
$ salus read --as clinician@st-luke --patient 1
* documents of 1 hospital, 0 gaps.
$ salus consent revoke --as patient:1 --to st-luke
! 3
*[cli.unknown_rule]

# An emergency. She is told.
$ salus break-glass --as clinician@lakeside --patient 1 --reason "found unconscious"
! 3
*[keeper.break_glass]
$ salus break-glass --as emergency@lakeside --patient 1 --reason " "
! 3
*[keeper.break_glass]
$ salus break-glass --as emergency@lakeside --patient 1 --reason "found unconscious"
* documents of 4 hospitals, 0 gaps.
The glass is broken: the patient is told, and a review falls due.
$ salus log --as patient:1
* emergency@lakeside  lakeside  BTG * lakeside, mercy, northgate, st-luke  found unconscious
* clinician@st-luke  st-luke  TREAT *
- *cannot be trusted*

# What she did stands on the ledger, and can be shown to anyone.
$ salus ledger show --count 40
*cells.advance/1  ok  {advance}
$ salus receipt {advance} -o consent.receipt
*consent.receipt: * bytes. Check it with: salus verify consent.receipt
$ salus verify consent.receipt
It holds.*
* sponsored cells.advance/1; the result was: ok.
* of 4 validators signed: *
$ salus verify identity.txt
! 4
*[cli.not_a_receipt]
$ salus ledger check --member mercy
mercy: sound;*
