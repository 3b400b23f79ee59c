"""Names that scanners and departments give: built-in patterns over normalised descriptions.

Vendors: Siemens, GE, Philips, Canon/Toshiba, Hitachi/Fujifilm. Languages: English, Dutch, French, German, Spanish,
Italian. Patterns see text as :func:`pipeline.identify.facts.normalise` leaves it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

_PLANE = r"(?:ax|axi|axial|sag|sagittal|cor|coronal|tra|trans|transversal|obl|s|e|d|q|3d|2d|w)?"

T1 = (
    rf"(?<![a-z0-9]){_PLANE}t1(?!\d)",
    r"\bmp ?rage\b|mprage",
    r"\bmp2rage\b",
    r"bravo\b",
    r"f?spgr",
    r"\b(?:3d ?)?t1? ?tfe\b",
    r"\b(?:vibe|thrive|lava)\b",
)
T2 = (rf"(?<![a-z0-9]){_PLANE}t2(?!\d)(?! ?(?:\*|star))",)
FLAIR = (r"flair", r"dark ?fl", r"fluid ?att", r"tirm dark")

CONTRAST = (
    r"\bt1 ?(?:c|ce|gd|km)\b|\bt1 ?\+ ?c\b|\bt1c\+",
    r"\+ ?(?:c|gd|gad\w*|km|k|mdc|iv|ivc|contr\w*|pc|inj\w*)\b",
    r"\b(?:c|gd|km|mdc) ?\+",
    r"\bgad\w*",
    r"\bgd\b",
    r"\b(?:dotarem|prohance|magnevist|multihance|clariscan|omniscan|vueway|elucirem|artirem)\b",
    r"\bpost ?(?:contr\w*|c|gd|gad\w*|inj\w*|iv|km|mdc|kontr\w*)\b",
    r"\bpost\b(?! ?(?:fos|op|process|rt|radi|ther|surg|chir|bestr|erior|lat|med))",
    r"\b(?:with|mit|nach|met|na|avec|apres|con|dopo|tras|despues(?: de)?|i v|iv) ?(?:i v |iv |le |el |la |de )?"
    r"(?:contr\w*|kontr\w*|km|kmittel|km gabe|mdc|inj\w*|gd|civ|iv|mezzo di contr\w*|medio de contr\w*)\b",
    r"\b(?:nk|mk|mdc|civ|poscontr\w*|postcontr\w*|postgd|postgad\w*|kmgabe|km|ce)\b",
    r"\b(?:kontrastmittel|contraststof|contrasto|contraste)\b",
    r"\binject\w*|\binj\b",
    r"\benhanced\b|\bcontrast enh\w*",
)
NATIVE = (
    r"\bpre\b(?! ?(?:op|surg|rt|radi|ther|sat|scan|chir|process))",
    r"\bpre ?(?:contr\w*|c|gd|gad\w*|inj\w*|km)\b",
    r"\bnativ\w*|\bnatif\b",
    r"\bblan[ck]o\b",
    r"\b(?:without|wo|no|non|sans|ohne|vor|zonder|voor|sin|senza|prima|avant|before|antes(?: de)?) ?"
    r"(?:i v |iv |le |el |la |de |del )?"
    r"(?:contr\w*|kontr\w*|c|gd|gad\w*|km|k|mdc|inj\w*|civ|mezzo di contr\w*|medio de contr\w*)\b",
    r"\b(?:noncontrast|unenhanced|non ?enhanced|precontr\w*|basale|basal|vuoto)\b",
)
# of the examination, not of a series: taken out before the words above are looked for
BOTH = (
    r"\b(?:with|w|mit|met|avec|con|pre|ohne|without|wo|sans|zonder) ?(?:and|und|en|et|y|e|u|or|oder|ou|o)? ?"
    r"(?:without|wo|ohne|zonder|sans|sin|senza|post|mit|with|w|avec|met)\b"
    r" ?(?:contr\w*|kontr\w*|km|gd|gad\w*|mdc|inj\w*)?",
)
NO_AGENT = (
    r"^(?:0+|n|no|non|none|nil|na|n a|nein|kein\w*|nee|geen|aucun\w*|ninguno|nessuno|sin|without|false|null|x)$",
    r"\bno contrast\b|\bnot? (?:given|used)\b|^without\b|^ohne\b|^sans\b|^sin\b|^senza\b|^zonder\b",
)
STUDY_CONTRAST = (
    r"\bwith and without|\bwithout (?:and|then|followed by) with|\bwo (?:and )?w\b|\bw wo\b|\bwith without",
    r"\b(?:with|mit|met|avec|con|inkl) (?:i v |iv )?(?:contr\w*|kontr\w*|km|gad\w*|inj\w*|mdc)\b",
    r"\+ ?(?:c|km|gd|contr\w*)\b",
)

# exclusions by name: code and patterns
EXCLUDED: dict[str, tuple[str, ...]] = {
    "LOCALIZER": (
        r"\bloc\b|locali[sz]\w*|\blokali\w*|\bscout|\bsurvey|\breper\w*|\bplan ?scan|\buberblick|\bubersicht\w*",
        r"\b3 ?(?:pl|plane|plan)\b|\bthree plane|\bsmart ?brain|\baa ?(?:h|head)|\bautoalign",
        r"\bpos ?disp\b|\bcentratore\b",
        r"\bcalib\w*|\bkalib\w*|\basset ?cal|\bref(?:erence)? ?scan|\bcoil|\bshim\w*|\bscreen ?save|\bphoenix",
    ),
    "SUBTRACTION": (r"\bsub\b|\bsubtr\w*|\bsubtrak\w*|\bsoustr\w*|\bsottra\w*|\bsustra\w*|\bsubstr\w*|\bdiff bild",),
    "DIFFUSION": (
        r"\bdwi\w*|\bdw\b|\bdiff\b|\bdiffu\w*|\badc\w*|\beadc|\btrace\w*|\btracew|\bdti\w*|\bdtt\b",
        r"\btensor|\bhardi\b",
        r"\bb ?(?:0|50|500|800|1000|1500|2000|3000)(?: ?s mm2)?\b|\bcol ?fa\b|\bfa map|\bresolve\b",
        r"\bivim\b|\bdsi\b|\bdki\b",
        r"\bapparent diff|\bisotropic dif",
    ),
    "PERFUSION": (
        r"\bperf\w*|\bdsc\b|\bdce\b|\bpwi\b|\bp?c?asl\b|\bpcasl\b|\barterial spin|\br?cbf\b",
        r"\br?cbv\b|\bmtt\b|\bttp\b",
        r"\btmax\b|\bktrans\b|\bdynam\w*|\bdyn\b|\bgbp\b|\bpbp\b",
    ),
    "FUNCTIONAL": (
        r"\bbold\b|\bf ?mri\b|\bfmri\w*|\brs ?fmri|\bresting|\brest\b|\btask\b|\bfinger ?tap",
        r"\bmotor task",
    ),
    "SPECTROSCOPY": (
        r"\bspectr\w*|\bspektr\w*|\bspettr\w*|\bespectr\w*|\bmrs\b|\bmrsi\b|\bsvs\b|\bcsi\b",
        r"\bprobe\b",
    ),
    "FIELDMAP": (
        r"\bfield ?map|\bgre field|\bb0 ?map|\bb1 ?map|\btop ?up|\bblip|\bfeldkarte|\brevpe",
        r"\brev pe|\btfl b1|\bsbref",
    ),
    "ANGIOGRAPHY": (
        r"\btof\b|\btime of flight|\b(?:ce ?)?mra\b|\bmrv\b|\bangi\w*|\bveno\w*|\bpca\b|\bpc3d",
        r"\b3d ?pc\b|\binhance|\btwist\b",
        r"\btricks\b|\bcare ?bolus|\bphase contrast|\bcontraste de phase|\bbolus ?track\w*|\barter\w*",
        r"\bwillis\b|\bcarot\w*",
    ),
    "SUSCEPTIBILITY": (
        r"\bswi\w*|\bswan\w*|\bsusc\w*|\bqsm\b|\bvenobold|\bt2 ?(?:\*|star)|\bt2s\b|\bhemo\b",
        r"\bhaemo\b|\bhamo\b|\bmedic\b|\bmerge\b",
        r"\bt2 ?w? ?(?:ax |tra |axial )?(?:ffe|gre|fl2d|hemo|medic)\b|\bgre t2\b|\b(?:epi )?t2 ?gre\b",
        r"\bmin ?ip\b|\bmnip\b|\bsphase",
    ),
    "PROJECTION": (
        r"\bmip\b|\bproje[ck]\w*|\breform\w*|\brfmt\b|\brecon ?mpr|\bcurved\b|\bmultiplan\w*|\bvrt\b|\b3d ?vol",
    ),
    "PHASE_IMAGE": (r"\bpha(?:se)? ?(?:image|img|map|only)\w*|\bpha\b",),
    "FAT_OR_OPPOSED": (
        r"\bopp(?:osed)?(?: ?ph(?:ase)?)?\b|\bout ?(?:of )?phase\b|\bfat ?(?:only|image|fraction)\b",
        r"\b(?:m?dixon|ideal|flex)\b(?:.* )?(?:f|fat)$",
    ),
    "QUANTITATIVE": (
        r"\bt[12]\*? ?map|\bmap ?t[12]\b|\br[12]\*? ?map|\brelaxo\w*|\bsymri\b|\bmagic\b|\binv ?[12]\b",
        r"\bquantit\w*",
        r"\bt[12] ?(?:images|mapping)\b|\bmag(?:net[io]\w*)? ?transf\w*|\bmtr\b|\bcest\b|\bapt\b",
        r"\belasto\w*|\bmre\b",
    ),
    "FAT_NULLED": (r"\bstir\b|\bdir\b|\bdouble inv\w*|\bspair ?only|\bwhite matter null|\bpsir\b|\bfgatir\b",),
    "CISTERNOGRAPHY": (r"\bciss|\bfiesta|\bb ?ffe\b|\btru ?fi\w*|\bbtfe\b|\bcisterno\w*|\bcsf ?flow",),
    "TARGETED": (
        r"\borbit\w*|\biac\b|\biams?\b|\bcai\b|\bmeat\w* ac|\bhypoph\w*|\bpituit\w*|\bipofisi\w*",
        r"\bipofisar\w*|\bhipofis\w*|\bsella\w*",
        r"\bhippo\w*|\bippocamp\w*|\bhipocamp\w*|\btemporal ?(?:lobe|bone)|\bfelsenbein\w*|\brotsbeen\w*",
        r"\btrigemin\w*|\bnerv\w* ",
        r"\bspin(?:e|al)\b|\bt ?spine|\bc ?spine|\bl ?spine|\b[hbl]ws\b|\brachis|\bmoelle\b",
        r"\bwervel\w*|\bcolonna\b|\bcolumna\b",
        r"\blumb\w*|\bcervi[ck]\w*|\bthora[ckx]\w*|\bdorsal\w*|\bknee\b|\bknie\b|\bgenou\b|\brodilla\b",
        r"\bginocchio\b|\bneck\b|\bhals\b",
    ),
}

HEAD = (
    r"head|brain|skull|neuro|kopf|schadel|hirn|gehirn|hoofd|hersen|schedel|tete|cerv(?:eau|ello)|cran"
    r"|encef|enceph|cereb|cabeza|testa"
)


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


def first_match(patterns: Iterable[str], text: str) -> str | None:
    """The words that the first matching pattern found, None where none matches."""
    for pattern in _compiled(tuple(patterns)):
        found = pattern.search(text)
        if found and found.group().strip():
            return found.group().strip()
    return None
