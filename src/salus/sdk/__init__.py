"""What an outside program imports: wallet, write, read, the patient's log.

`gateway.py` is what every call needs, `wallet.py` and `consent.py` the patient's side, `author.py` seals, `reader.py`
opens, `own.py` opens an author's own records, `patient_log.py` unites the logs. Receipts are checked in `engines/`.
"""
