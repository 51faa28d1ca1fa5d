"""Small resources for tests, written as text so that their bytes are known."""

import json


def bundle(*resources: dict | str, kind: str = "transaction") -> bytes:
    """A bundle of resources, each a dictionary or JSON text; with an id they get a full URL."""
    entries = []
    for resource in resources:
        text = resource if isinstance(resource, str) else json.dumps(resource)
        own_id = None if isinstance(resource, str) else resource.get("id")
        url = f'"fullUrl": "urn:uuid:{own_id}", ' if own_id else ""
        entries.append(f'{{{url}"resource": {text}, "request": {{"method": "POST", "url": "x"}}}}')
    return f'{{"resourceType": "Bundle", "type": "{kind}", "entry": [{", ".join(entries)}]}}'.encode()


def patient(own_id: str = "p", **fields: object) -> dict:
    return {"resourceType": "Patient", "id": own_id, **fields}


def coded(system: str, code: str) -> dict:
    return {"coding": [{"system": system, "code": code}]}


def observation(own_id: str = "o", about: str = "urn:uuid:p", **fields: object) -> dict:
    return {"resourceType": "Observation", "id": own_id, "subject": {"reference": about}, **fields}


def encounter(own_id: str, provider: str | None = None, about: str = "urn:uuid:p", **fields: object) -> dict:
    given = {"serviceProvider": {"reference": provider}} if provider else {}
    return {"resourceType": "Encounter", "id": own_id, "subject": {"reference": about}, **given, **fields}


def organization(own_id: str) -> dict:
    return {
        "resourceType": "Organization",
        "id": own_id,
        "identifier": [{"system": "https://example.org/ids", "value": own_id}],
    }
