"""The sample that `salus demo` runs on without other data: an adult and a child, their charts lying at four hospitals.

Both Bundles are written by `tools/make_sample.py` from `tools/sample/`. The names below let the demo's story point at
single resources by their id; see `README.md` beside this file.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
FILES = ("adult.json", "child.json")
ORGANIZATIONS = ("mercy", "st-luke", "lakeside", "northgate")  # Ids of the Organization resources: the members' names.

ADULT = "6858fa3a-5b95-59ea-acbd-69b79ca6bf1a"
CHILD = "8d28cf89-71fd-5a69-a965-4f5ff8496e60"

WRONG_POTASSIUM = "6a474a8f-a578-5a9d-b3ff-e19cb8c371b2"  # Lakeside typed 7.1 mmol/L; the laboratory had measured 4.1.
RIGHT_POTASSIUM = "4.1"
MISFILED_RADIOGRAPH = "3bbdf5d3-9c85-52bb-98d7-48ba59b717ed"  # In the adult's chart at Mercy, but it is the child's.

PSYCHIATRY_NOTE = "73d34031-89d7-5fe4-b019-2016bd5129eb"
HIV_TEST = "f714eca3-7e94-5bad-86ed-b4e56309a873"
ALCOHOL_NOTE = "7b8bebb1-47b8-50bf-9ac1-bfaca3716440"
DISCHARGE_LETTER = "7c127e29-df61-5881-817a-5092c29ecd9e"  # A PDF.
EYE_GROUND = "0ae213dc-5878-523c-a358-97ee444c423f"  # A PNG.
ADOLESCENT_NOTE = "0f3b94c7-45eb-5ab6-95fb-9f43f2756cc8"
