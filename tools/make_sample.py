"""Write the shipped sample, `src/salus/cli/sample/`, from `tools/sample/`: the same bytes every time."""

from tools.check_quiet import ROOT
from tools.sample.adult import adult
from tools.sample.chart import Chart
from tools.sample.child import child
from tools.sample.text import to_json

FOLDER = ROOT / "src" / "salus" / "cli" / "sample"


def files() -> dict[str, str]:
    """Name and text of every file of the sample."""
    charts: list[Chart] = [adult(), child()]
    return {f"{chart.name}.json": to_json(chart.bundle()) + "\n" for chart in charts}


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
