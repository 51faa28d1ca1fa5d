"""What an operator may see of a running member, and nothing of its patients: figures, lines of a log, traces, health.

    fields.py     what may be said at all: names of fields, and the shape of each
    logs.py       JSON lines on standard error; every library's too
    traces.py     one read, one trace, over processes and members
    watching.py   what looks on where requests, calls and transactions pass
    families.py   every figure with its name, its labels and what it means
    figures.py    figures worked out when somebody asks, from what is there
    operating.py  the operator's port of one process
    findings.py   what may be found wrong, each kind with what to do
    schemas.py    what the port answers, for its OpenAPI document
    asking.py     asks the processes of a folder for their figures
    judging.py    how each part stands by its figures

Start with `operating.py`. Labels are bounded: members, parts, codes; never an id of a person, a subject or a request.
"""
