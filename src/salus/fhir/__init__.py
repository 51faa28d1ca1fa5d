"""FHIR at the door: resources become documents ready for sealing, with their bytes untouched.

An import runs `folder` (files) → `bundle` (bytes to entries, bad input refused) → `document.prepare`, which asks
`references`, `subjects`, `authors`, `labels` and `terms` one thing each. Only `folder` touches the disk.
"""
