"""The evaluation as a markdown page and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.evaluation.summary import CaseResult, Part, Summary
from pipeline.names import Region

_HEAD = (
    "| | Dice | 95 % interval | median | HD95 mm (median) | surface Dice 1 mm | volume error ml | lesions found | "
    "false lesions | lesion-wise Dice | lesion-wise HD95 mm |"
)
_LINE = "|" + " --- |" * 11


def write_report(summary: Summary, results: Sequence[CaseResult], out: Path) -> None:
    """Write ``evaluation.json`` and ``report.md`` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(summary, indent=2) + "\n")
    lines = [f"# {summary['model']} on {summary['n']} cases", "", *_doubt(summary), *means_table(summary)]
    lines += ["", "Means over the cases; intervals by bootstrap over cases (2,000 draws).", ""]
    for one in summary["refused"]:
        lines += [f"Refused, and not in the means: {one['id']} ({one['reason']})", ""]
    for name, group in summary["groups"].items():
        lines += [f"## {name}, {group['n']} cases", "", *_doubt(group), *means_table(group)]
        lines += ["", f"![volumes](volumes-{name}.png)", "", f"![worst to best](gallery-{name}.png)", ""]
        members = [case for case in results if case.group == name]
        for case in sorted(members, key=lambda case: case.scores[Region.WT].dice):
            lines += _case_lines(case, (out / f"{case.name}.png").exists())
    (out / "report.md").write_text("\n".join(lines))


def means_table(summary: Part) -> list[str]:
    """Return the means per region as the lines of a markdown table."""
    return [_HEAD, _LINE] + [
        f"| {region} | {m['dice']:.3f} | {m['ci95'][0]:.3f} to {m['ci95'][1]:.3f} | {m['median']:.3f} | "
        f"{m['hd95_mm']:.1f} ({m['hd95_median_mm']:.1f}) | {m['surface_dice']:.3f} | {m['volume_error_ml']:+.1f} | "
        f"{m['lesions_found']}/{m['lesions']} | {m['false_lesions']} | {m['lesion_dice']:.3f} | "
        f"{m['lesion_hd95_mm']:.1f} |"
        for region, m in summary["mean"].items()
    ]


def _doubt(part: Part) -> list[str]:
    if part["doubt"] is None:
        return []
    return [f"Uncertainty against Dice of the whole tumour: Spearman {part['doubt']:+.2f}.", ""]


def _case_lines(case: CaseResult, pictured: bool) -> list[str]:
    missing = f"; without {', '.join(case.missing)}" if case.missing else ""
    taken = f"{round(case.seconds, 2)} s, uncertainty {round(case.uncertainty, 4)}{missing}."
    lines = [f"### {case.name}", "", taken, ""]
    lines += [
        f"- {region}: Dice {s.dice:.3f}, HD95 {s.hd95_mm:.1f} mm, {s.volume_ml:.1f} ml found, {s.truth_ml:.1f} ml true"
        for region, s in case.scores.items()
    ]
    if pictured:
        lines += ["", f"![contours]({case.name}.png)"]
    return [*lines, ""]
