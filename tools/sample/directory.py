"""The four hospitals and their clinicians: the same entries stand at the head of every chart."""

from dataclasses import dataclass

MEMBERS = {
    "mercy": "Mercy General Hospital",
    "st-luke": "St Luke Hospital",
    "lakeside": "Lakeside Family Clinic",
    "northgate": "Northgate Hospital",
}


@dataclass(frozen=True)
class Clinician:
    """One practitioner, working at one member."""

    member: str
    given: str
    family: str

    @property
    def display(self) -> str:
        """The name as it is written beside a reference."""
        return f"Dr. {self.given} {self.family}"


STAFF = {
    "emergency": Clinician("mercy", "Helga", "Marsten"),
    "ward": Clinician("mercy", "Anton", "Brevik"),
    "midwifery": Clinician("mercy", "Tilda", "Oakhurst"),
    "endocrinology": Clinician("st-luke", "Pavel", "Dornick"),
    "psychiatry": Clinician("st-luke", "Clara", "Weissner"),
    "lungs": Clinician("st-luke", "Ravi", "Talwanek"),
    "orthopaedics": Clinician("st-luke", "Mirjam", "Holtved"),
    "family": Clinician("lakeside", "Ingrid", "Solbakk"),
    "children": Clinician("lakeside", "Tomas", "Brandel"),
    "addiction": Clinician("northgate", "Simon", "Okellan"),
    "sexual-health": Clinician("northgate", "Judith", "Karstengard"),
}
