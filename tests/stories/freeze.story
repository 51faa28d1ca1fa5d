# A phone is lost. The patient freezes the record until they have looked at the log.
$ salus new
$ salus import {sample}
$ write identity.txt seen at the desk
$ salus patient claim --as patient:1 --evidence identity.txt --witness st-luke
$ salus consent grant --as patient:1 --to anyone --role clinician --for treatment
In force from block * on: Every clinician anywhere may use all records for TREAT (treatment).
$ salus read --as clinician@northgate --patient 1
* documents of 4 hospitals, 0 gaps.
$ salus consent freeze --as patient:1
Frozen, from block * on.*
$ salus read --as clinician@northgate --patient 1
0 documents of 0 hospitals, 0 gaps.
$ salus consent freeze --as patient:1
! 3
*[cells.frozen]
*salus consent thaw*

# Rules can be changed meanwhile; nothing opens by that.
$ salus consent grant --as patient:1 --to northgate --for TREAT
$ salus read --as clinician@northgate --patient 1
0 documents of 0 hospitals, 0 gaps.
$ salus read --as patient:1
* documents of 4 hospitals, 0 gaps.
$ salus log --as patient:1
*clinician@northgate  northgate  TREAT *cell_frozen*
$ salus consent thaw --as patient:1
Open again, from block * on.
$ salus read --as clinician@northgate --patient 1
* documents of 4 hospitals, 0 gaps.
