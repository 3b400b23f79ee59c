"""The evaluation as a markdown page and as JSON."""

import json
from pathlib import Path
from typing import Any

_HEAD = (
    "| | Dice | 95 % interval | median | HD95 mm (median) | surface Dice 1 mm | volume error ml | lesions found | "
    "false lesions | lesion-wise Dice | lesion-wise HD95 mm |"
)
_LINE = "|" + " --- |" * 11


def write_report(summary: dict[str, Any], out: Path) -> None:
    """Write ``evaluation.json`` and ``report.md`` into a folder, from the document that ``summarise`` makes."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(summary, indent=2) + "\n")
    lines = [f"# {summary['model']} on {summary['n']} cases", "", *_doubt(summary), *means_table(summary)]
    lines += ["", "Means over the cases; intervals by bootstrap over cases (2,000 draws).", ""]
    for one in summary["refused"]:
        lines += [f"Refused, and not in the means: {one['id']} ({one['reason']})", ""]
    for name, group in summary["groups"].items():
        lines += [f"## {name}, {group['n']} cases", "", *_doubt(group), *means_table(group)]
        lines += ["", f"![volumes](volumes-{name}.png)", "", f"![worst to best](gallery-{name}.png)", ""]
        members = [case for case in summary["cases"] if case["group"] == name]
        for case in sorted(members, key=lambda case: float(case["WT"]["dice"])):
            lines += _case_lines(case, list(summary["mean"]), (out / f"{case['id']}.png").exists())
    (out / "report.md").write_text("\n".join(lines))


def means_table(summary: dict[str, Any]) -> list[str]:
    """Return the means per region as the lines of a markdown table."""
    return [_HEAD, _LINE] + [
        f"| {region} | {m['dice']:.3f} | {m['ci95'][0]:.3f} to {m['ci95'][1]:.3f} | {m['median']:.3f} | "
        f"{m['hd95_mm']:.1f} ({m['hd95_median_mm']:.1f}) | {m['surface_dice']:.3f} | {m['volume_error_ml']:+.1f} | "
        f"{m['lesions_found']}/{m['lesions']} | {m['false_lesions']} | {m['lesion_dice']:.3f} | "
        f"{m['lesion_hd95_mm']:.1f} |"
        for region, m in summary["mean"].items()
    ]


def _doubt(part: dict[str, Any]) -> list[str]:
    if part["doubt"] is None:
        return []
    return [f"Uncertainty against Dice of the whole tumour: Spearman {part['doubt']:+.2f}.", ""]


def _case_lines(case: dict[str, Any], regions: list[str], pictured: bool) -> list[str]:
    missing = f"; without {', '.join(case['missing'])}" if case["missing"] else ""
    lines = [f"### {case['id']}", "", f"{case['seconds']} s, uncertainty {case['uncertainty']}{missing}.", ""]
    for region in regions:
        s = case[region]
        lines.append(
            f"- {region}: Dice {s['dice']:.3f}, HD95 {s['hd95_mm']:.1f} mm, {s['volume_ml']:.1f} ml found, "
            f"{s['truth_ml']:.1f} ml true"
        )
    if pictured:
        lines += ["", f"![contours]({case['id']}.png)"]
    return [*lines, ""]
