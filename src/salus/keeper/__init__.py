"""Key shares, policies, the subject's index, the access log; decides before a share leaves.

Read `messages.py` for what may be asked, `deposits.py` for what is checked before shares are held, `answers.py` for
what is checked before one leaves, `access_log.py` for the trace. `keeper.py` joins them behind one door.
"""
