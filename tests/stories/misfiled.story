# A girl's radiograph lies in a grown woman's chart at Mercy. Somebody has read it there.
$ salus new
$ salus import {sample}
$ salus read --as clinician@mercy --patient 1 --type DocumentReference
*Diagnostic imaging study*mercy  own*
$ salus misfiled --as clerk@st-luke --document DocumentReference/3bbdf5d3-9c85-52bb-98d7-48ba59b717ed --from patient:1 --to patient:2
! 3
*[cli.unknown_document]
$ salus misfiled --as patient:1 --document DocumentReference/3bbdf5d3-9c85-52bb-98d7-48ba59b717ed --from patient:1 --to patient:2
! 3
*[cli.not_theirs]
$ salus misfiled --as clerk@mercy --document DocumentReference/3bbdf5d3-9c85-52bb-98d7-48ba59b717ed --from patient:1 --to patient:2
Withdrawn from patient:1: mercy/*
Sealed for patient:2: {place}
Read meanwhile, as the logs of this hospital tell (the patient sees all logs):
*clinician@mercy  mercy  TREAT*

# Again: nothing doubles.
$ salus misfiled --as clerk@mercy --document DocumentReference/3bbdf5d3-9c85-52bb-98d7-48ba59b717ed --from patient:1 --to patient:2
Sealed for patient:2: {place}
$ salus read --as clinician@mercy --patient 1 --type DocumentReference
- *Diagnostic imaging study*
$ salus read --as clinician@mercy --patient 2 --type DocumentReference
*Diagnostic imaging study*mercy  own  {place}
$ salus read --as clinician@mercy --patient 2 --document {place}
*3bbdf5d3-9c85-52bb-98d7-48ba59b717ed*

# The author still finds it in the history.
$ salus read --as clinician@mercy --patient 1 --type DocumentReference --history
*Diagnostic imaging study*withdrawn*
