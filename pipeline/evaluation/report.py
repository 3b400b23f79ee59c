"""The evaluation as a markdown page and as JSON."""

import json
from pathlib import Path
from typing import Any

_HEAD = "| | Dice | 95 % interval | HD95 mm | surface Dice 1 mm | volume error ml | lesions found | false lesions |"
_LINE = "| --- | --- | --- | --- | --- | --- | --- | --- |"


def write_report(summary: dict[str, Any], out: Path) -> None:
    """Write ``evaluation.json`` and ``report.md`` into a folder, from the document that ``summarise`` makes."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(summary, indent=2) + "\n")
    lines = [f"# {summary['model']} on {summary['n']} cases", "", *means_table(summary)]
    lines += ["", "Means over the cases; intervals by bootstrap over cases (2,000 draws).", ""]
    for one in summary["refused"]:
        lines += [f"Refused, and not in the means: {one['id']} ({one['reason']})", ""]
    for case in summary["cases"]:
        lines += _case_lines(case, list(summary["mean"]), (out / f"{case['id']}.png").exists())
    (out / "report.md").write_text("\n".join(lines))


def means_table(summary: dict[str, Any]) -> list[str]:
    """Return the means per region as the lines of a markdown table."""
    return [_HEAD, _LINE] + [
        f"| {region} | {m['dice']:.3f} | {m['ci95'][0]:.3f} to {m['ci95'][1]:.3f} | {m['hd95_mm']:.1f} | "
        f"{m['surface_dice']:.3f} | {m['volume_error_ml']:+.1f} | {m['lesions_found']}/{m['lesions']} | "
        f"{m['false_lesions']} |"
        for region, m in summary["mean"].items()
    ]


def _case_lines(case: dict[str, Any], regions: list[str], pictured: bool) -> list[str]:
    missing = f"; without {', '.join(case['missing'])}" if case["missing"] else ""
    lines = [f"## {case['id']}", "", f"{case['seconds']} s, uncertainty {case['uncertainty']}{missing}.", ""]
    for region in regions:
        s = case[region]
        lines.append(
            f"- {region}: Dice {s['dice']:.3f}, HD95 {s['hd95_mm']:.1f} mm, {s['volume_ml']:.1f} ml found, "
            f"{s['truth_ml']:.1f} ml true"
        )
    if pictured:
        lines += ["", f"![contours]({case['id']}.png)"]
    return [*lines, ""]
