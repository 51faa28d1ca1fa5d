# Four keepers change places, so that nobody has the shares that it needs on its new seat. What was sealed before is read
# all the time; its authors deal it again by themselves, a round of housekeeping after the change.
$ salus new
$ salus import {sample}
334 records sealed*334 of them held by every keeper; 0 were here already, 0 replace an older version.
$ write identity.txt seen at the desk, passport shown
$ salus patient claim --as patient:1 --evidence identity.txt --witness mercy
$ salus consent grant --as patient:1 --to st-luke --for TREAT
$ salus read --as clinician@st-luke --patient 1
{documents} documents of {hospitals} hospitals, 0 gaps.
$ salus members
committee {committee}: epoch 1
- *dealt to epoch*
$ salus propose seats {committee} --seat northgate --seat mercy --seat st-luke --seat lakeside --as mercy
Proposal {turn}: set seats *.
$ salus vote {turn} --as st-luke
$ salus vote {turn} --as lakeside
It is executed, with 3 yes and 0 no of 4 members.
$ salus read --as clinician@st-luke --patient 1
{documents} documents of {hospitals} hospitals, 0 gaps.
- *named*

# One of them is to leave. Its seat goes first, so that it can deal what it wrote to those who stay; then it goes itself.
$ salus propose seats {committee} --seat mercy --seat st-luke --seat lakeside --as mercy
Proposal {fewer}: set seats *.
$ salus vote {fewer} --as st-luke
$ salus vote {fewer} --as lakeside
$ salus read --as clinician@st-luke --patient 1
{documents} documents of {hospitals} hospitals, 0 gaps.
- *named*
$ salus members
committee {committee}: epoch 3*
$ salus propose remove-member northgate --as mercy --successor lakeside
Proposal {leave}: *
$ salus vote {leave} --as st-luke
$ salus vote {leave} --as lakeside
It is executed, with 3 yes and 0 no of 3 members.
$ salus read --as clinician@st-luke --patient 1
{documents} documents of {hospitals} hospitals, 0 gaps.
- *named*

# Taken back, it is taken back at whoever keeps the shares by now.
$ salus consent revoke --as patient:1 --to st-luke
$ salus read --as clinician@st-luke --patient 1
* documents of 1 hospital, 0 gaps.
