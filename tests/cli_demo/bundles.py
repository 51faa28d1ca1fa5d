"""Small bundles of one patient whose visits were at the network's own members."""

import json


def chart(patient: str, *visits: tuple[str, list[str]], birth_date: str = "1970-01-01") -> bytes:
    """A bundle: a patient, and per visit a member's name and the ids of observations made there."""
    entries: list[str] = [json.dumps({"resourceType": "Patient", "id": patient, "birthDate": birth_date})]
    for at, observations in visits:
        visit = f"visit-{patient}-{at}"
        entries.append(json.dumps({"resourceType": "Organization", "id": at, "name": at}))
        entries.append(encounter(visit, patient, at))
        entries += [observation(own_id, patient, visit) for own_id in observations]
    return bundle(*entries)


def bundle(*resources: str) -> bytes:
    """A transaction bundle of resources given as JSON text."""
    items = ", ".join(f'{{"resource": {resource}}}' for resource in resources)
    return f'{{"resourceType": "Bundle", "type": "collection", "entry": [{items}]}}'.encode()


def encounter(own_id: str, patient: str, at: str) -> str:
    return json.dumps(
        {
            "resourceType": "Encounter",
            "id": own_id,
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": {"reference": f"Patient/{patient}"},
            "serviceProvider": {"reference": f"Organization/{at}"},
        }
    )


def observation(own_id: str, patient: str, visit: str, value: str = "1.00") -> str:
    """An observation whose decimal keeps its digits."""
    return (
        f'{{"resourceType": "Observation", "id": "{own_id}", "status": "final", '
        f'"code": {{"text": "x"}}, "subject": {{"reference": "Patient/{patient}"}}, '
        f'"encounter": {{"reference": "Encounter/{visit}"}}, "valueQuantity": {{"value": {value}}}}}'
    )
