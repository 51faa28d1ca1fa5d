"""`salus demo`: a fresh network takes in real input and tells its story, nothing of it prepared.

`command` is the way in and `play` the order of the acts; `cast` chooses whom the story is about, `consenting` and
`proving` are the acts, `measuring` takes the figures, `kept` keeps what must come back, `telling` is the voice.
"""
