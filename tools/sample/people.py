"""Opening a chart: the directory's entries, then the patient."""

from tools.sample.chart import Chart, Fields, identifier
from tools.sample.codes import concept
from tools.sample.directory import MEMBERS, STAFF


def open_chart(name: str, patient: Fields, staff: tuple[str, ...]) -> Chart:
    """A chart that holds the four hospitals, these clinicians and the patient."""
    chart = Chart(name)
    for member, title in MEMBERS.items():
        fields: Fields = {
            "identifier": [identifier("members", member)],
            "active": True,
            "type": [concept("organization:prov")],
            "name": title,
        }
        chart.add("Organization", f"organization/{member}", fields, own_id=member)
    for key in staff:
        person = STAFF[key]
        fields = {
            "identifier": [identifier(person.member, f"staff-{key}")],
            "active": True,
            "name": [{"family": person.family, "given": [person.given], "prefix": ["Dr."]}],
        }
        chart.add("Practitioner", f"practitioner/{key}", fields, own_id=f"{person.member}-{key}")
    chart.patient = chart.add("Patient", "self", patient)
    return chart
