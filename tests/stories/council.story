# Members decide together. Nobody decides alone, nobody votes twice, and what was decided stays on the ledger.
$ salus new
$ salus propose quota mercy 2097152 --as mercy
Proposal {quota}: set quota mercy.
It is open, with 1 yes and 0 no of 4 members; 3 must approve.*
$ salus vote {quota} --as mercy
! 3
*[members.voted_already]
$ salus propose remove-member northgate --as mercy --successor lakeside
! 3
*[cli.seats_held]
*--seat-to MEMBER*
$ salus propose upgrade 3 --from 1000000 --as st-luke
! 3
*[members.not_next_rules]
$ salus proposals
{quota}*set quota mercy*open*mercy*
$ salus vote {quota} --as st-luke
It is open, with 2 yes and 0 no of 4 members; 3 must approve.*
$ salus members
mercy*1,048,576*
$ salus vote {quota} --as lakeside
It is executed, with 3 yes and 0 no of 4 members.
$ salus members
mercy*2,097,152*
rules 1 from block 0
$ salus vote {quota} --as northgate
! 3
*[members.proposal_closed]

# A third against it is enough to end a proposal.
$ salus propose committee --seat mercy --as mercy
Proposal {second}: new committee *.
$ salus vote {second} --as st-luke --reject
$ salus vote {second} --as lakeside --reject
It is rejected, with 1 yes and 2 no of 4 members.
$ salus proposals --all
*{second}*rejected*mercy*st-luke, lakeside*
*{quota}*executed*
