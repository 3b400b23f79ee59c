"""Names that scanners and departments give: built-in patterns over normalised descriptions.

Vendors: Siemens, GE, Philips, Canon/Toshiba, Hitachi/Fujifilm. Languages: English, Dutch, French, German, Spanish,
Italian, the commonest words also in Portuguese, Russian, Greek, Chinese, Japanese and Korean. Patterns see text as
:func:`pipeline.identify.wording.normalise` leaves it: lower case, without accents and voicing marks. What is said of
contrast is read word by word: :mod:`pipeline.identify.wording`.
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
FLAIR = (r"flair", r"dark ?fl", r"fluid ?att", r"tirm dark", r"压水|壓水|水抑制|флаир|フレア")

# of the examination, not of a series: taken out before the words above are looked for
BOTH = (
    r"\b(?:with|w|mit|met|avec|con|pre|ohne|without|wo|sans|zonder) ?(?:and|und|en|et|y|e|u|or|oder|ou|o)? ?"
    r"(?:without|wo|ohne|zonder|sans|sin|senza|post|mit|with|w|avec|met)\b"
    r" ?(?:contr\w*|kontr\w*|km|gd|gad\w*|mdc|inj\w*)?",
)
NO_AGENT = (
    r"^(?:0+(?: 0+)?(?: ?(?:ml|cc))?|n|non|nil|na|n a|n v t|nan|nein|kein\w*|nee|geen|aucun\w*|ninguno|nessuno|nenhum"
    r"|sem|ingen|inget|intet|brak|ei|yok|zadn\w*|pre|false|null|x|нет|не|なし|无|無|없음)$",
    r"^(?:no|none|not|nicht|kein\w*|without|wo|ohne|sans|sin|sem|senza|zonder|bez|без|uten|uden|utan|plain)\b",
)
UNKNOWN_AGENT = (r"^(?:unk\w*|unbekannt|descono\w*|desconhe\w*|inconnu\w*|onbekend|ignoto|okand|ukjent|other|n n)$",)
STUDY_CONTRAST = (
    r"\bwith and without|\bwithout (?:and|then|followed by) with|\bwo (?:and )?w\b|\bw wo\b|\bwith without",
    r"\b(?:with|mit|met|avec|con|inkl) (?:i v |iv )?(?:contr\w*|kontr\w*|km|gad\w*|inj\w*|mdc)\b",
    r"\+ ?(?:c|km|gd|contr\w*)\b",
)

# exclusions by name: code and patterns
EXCLUDED: dict[str, tuple[str, ...]] = {
    "LOCALIZER": (
        r"\bloc\b|locali[sz]\w*|\blokali\w*|\bscout|\bsurvey|\breper\w*|\bplan ?scan|\buberblick|\bubersicht\w*",
        r"\b3 ?(?:pl|plane|plan)\b|\bthree plane|\baa ?(?:h|head)",
        r"\bpos ?disp\b|\bcentratore\b",
        r"\bcalib\w*|\bkalib\w*|\basset ?cal|\bref(?:erence)? ?scan|\bshim\w*|\bscreen ?save|\bphoenix",
        r"位置決め|定位|スカウト|위치|локалаизер\w*|локализ\w*|топограм\w*",
    ),
    "SUBTRACTION": (
        r"\bsub\b|\bsubtr\w*|\bsubtrak\w*|\bsoustr\w*|\bsottra\w*|\bsustra\w*|\bsubstr\w*|\bdiff bild",
        r"差分|减影|減影|サフトラクション|감산|субтракц\w*|вычит\w*|αφαιρ\w*",
    ),
    "DIFFUSION": (
        r"\bdwi\w*|\bdw\b|\bdiff\b|\bdiffu\w*|\badc\w*|\beadc|\btrace\w*|\btracew|\bdti\w*|\bdtt\b",
        r"\btensor|\bhardi\b",
        r"\bb ?(?:0|50|500|800|1000|1500|2000|3000)(?: ?s mm2)?\b|\bcol ?fa\b|\bfa map",
        r"\bivim\b|\bdsi\b|\bdki\b",
        r"\bapparent diff|\bisotropic dif|拡散|扩散|弥散|擴散|확산|диффуз\w*|\bдви\b|\bикд\b",
    ),
    "PERFUSION": (
        r"\bperf\w*|\bdsc\b|\bdce\b|\bpwi\b|\bp?c?asl\b|\bpcasl\b|\barterial spin|\br?cbf\b",
        r"\br?cbv\b|\bmtt\b|\bttp\b",
        r"\btmax\b|\bktrans\b|\bdynam\w*|\bdyn\b|\bgbp\b|\bpbp\b|灌流|潅流|灌注|관류|перфуз\w*",
    ),
    "FUNCTIONAL": (
        r"\bbold\b|\bf ?mri\b|\bfmri\w*|\brs ?fmri|\bresting|\bfinger ?tap|機能|功能",
        r"\bmotor task",
    ),
    "SPECTROSCOPY": (
        r"\bspectr\w*|\bspektr\w*|\bspettr\w*|\bespectr\w*|\bmrs\b|\bmrsi\b|\bsvs\b|\bcsi\b",
        r"波谱|波譜|スヘクトロ|спектроскоп\w*",
    ),
    "FIELDMAP": (
        r"\bfield ?map|\bgre field|\bb0 ?map|\bb1 ?map|\btop ?up|\bfeldkarte|\brevpe",
        r"\brev pe|\btfl b1|\bsbref",
    ),
    "ANGIOGRAPHY": (
        r"\btof\b|\btime of flight|\b(?:ce ?)?mra\b|\bmrv\b|\bangi\w*|\bveno\w*|\bpca\b|\bpc3d",
        r"\b3d ?pc\b|\btwist\b|血管|혈관|ангио\w*|\bмра\b",
        r"\btricks\b|\bcare ?bolus|\bphase contrast|\bcontraste de phase|\bbolus ?track\w*|\barter\w*",
        r"\bwillis\b|\bcarot\w*",
    ),
    "SUSCEPTIBILITY": (
        r"\bswi(?!ft)\w*|\bswan\w*|\bsusc\w*|\bqsm\b|\bvenobold|\bt2 ?(?:\*|star)|\bt2s\b|\bhemo\b",
        r"\bhaemo\b|\bhamo\b|\bmedic\b|\bmerge\b",
        r"\bt2 ?w? ?(?:ax |tra |axial )?(?:ffe|gre|fl2d|hemo|medic)\b|\bgre t2\b|\b(?:epi )?t2 ?gre\b",
        r"\bmin ?ip\b|\bmnip\b|\bsphase|磁化率|磁敏感",
    ),
    "PROJECTION": (
        r"\bmip\b|\bproje[ck]\w*|\breform\w*|\brfmt\b|\brecon ?mpr|\bcurved\b|\bmultiplan\w*|\bvrt\b",
        r"最大値|再構成|重建|重组|реконструкц\w*",
    ),
    "PHASE_IMAGE": (r"\bpha(?:se)? ?(?:image|img|map|only)\w*|\bpha\b",),
    "FAT_OR_OPPOSED": (
        r"\bopp(?:osed)?(?: ?ph(?:ase)?)?\b|\bout ?(?:of )?phase\b|\bfat ?(?:only|image|fraction)\b",
        r"\b(?:m?dixon|ideal|flex)\b(?:.* )?(?:f|fat)$",
    ),
    "QUANTITATIVE": (
        r"\bt[12]\*? ?map|\bmap ?t[12]\b|\br[12]\*? ?map|\brelaxo\w*|\bsymri\b|\binv ?[12]\b",
        r"\bquantit\w*",
        r"\bt[12] ?mapping\b|\bmag(?:net[io]\w*)? ?transf\w*|\bmtr\b|\bcest\b|\bapt\b",
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
        r"\bginocchio\b|垂体|内耳|眼窝|眼窩|頸椎|颈椎|腰椎|胸椎|гипофиз\w*|орбит\w*|позвоноч\w*|шеин\w*",
    ),
}

# words of the same kinds that also belong to the names of products, coils and purposes: they exclude where neither
# the description nor the attributes tell a weighting of their own
ALSO_OTHERWISE: dict[str, tuple[str, ...]] = {
    "LOCALIZER": (r"\bcoil|\bsmart ?brain|\bautoalign|\bauto align",),
    "DIFFUSION": (r"\bresolve\b",),
    "FUNCTIONAL": (r"\brest\b|\btask\b",),
    "SPECTROSCOPY": (r"\bprobe\b",),
    "FIELDMAP": (r"\bblip\w*",),
    "ANGIOGRAPHY": (r"\binhance",),
    "PROJECTION": (r"\b3d ?vol",),
    "QUANTITATIVE": (r"\bmagic\b|\bt[12] ?images\b",),
    "TARGETED": (r"\bneck\b|\bhals\b",),
}

# "T1 post perfusion" names what was before it
AFTER_ANOTHER = (r"\b(?:post|nach|after|apres|na|dopo|tras|po|после) ?(?:perf\w*|dsc|dce|diff\w*|dwi|перф\w*)\b",)

BLACK_BLOOD = (
    r"\b(?:bb|db)\b|\bblack ?blood|\bdark ?blood|\bsang noir|\bsangue ner\w*|\bsangre negra|\bschwarz\w*blut"
    r"|\bvessel ?wall|\bgefass ?wand|\bvwi?\b|\bi?msde\b|\bdante\b|\bvascul\w*",
)
SINGLE_SHOT = (r"\bhaste\b|\bsingle ?shot\b|\bssfse\b|\bultra ?fast\b|\bfast ?brain\b|\bblade quick\b",)

HEAD = (
    r"head|brain|skull|neuro|kopf|schadel|hirn|gehirn|hoofd|hersen|schedel|tete|cerv(?:eau|ello)|cran|kran"
    r"|encef|enceph|enkeph|cereb|cabe[cz]a|testa|hlav|mozek|mozg|glow[ay]|koponya|\bagy|huvud|hode|hjern|kafa|beyin"
    r"|голов|мозг|череп|κεφαλ|κρανι|頭|头|脳|脑|腦|颅|顱|두부|뇌|머리"
)
#: Parts of the body that are surely elsewhere; a name that is none of these excludes nothing.
ELSEWHERE = (
    r"spine|wirbel|rachis|moelle|column|colonn|colun|lumb|sacr|\b[hbl]ws\b|\bneck\b|\bhals\b|\bcou\b|\bcollo\b|nacken"
    r"|cuello|pescoco|knee|\bknie|genou|rodill|ginocch|joelho|abdom|bauch|ventre|buik|chest|thora|\btorax|brust|borst|breast"
    r"|mamm|\bmama\b|\bsein|pelvi|becken|bacino|bassin|bekken|\bhip\b|huft|hanche|cadera|\banca\b|shoulder|schulter|epaule"
    r"|hombro|spalla|ombro|ankle|\bfoot|\bfeet|\bfuss|\bpied|\bpie\b|piede|\bhand|\bmano|\bmain\b|wrist|elbow|finger|\blegs?\b"
    r"|\bbein|\barms?\b|extrem|thigh|\bcalf|femur|tibia|humer|liver|leber|\bfoie|higado|fegato|heart|card|\bherz|kidney"
    r"|\bniere|renal|prostat|uter|pancrea|bladder|\bbowel|rectum|aort"
    r"|колен|позвоноч|живот|брюш|груд|таз\b|плеч|печен|серд|膝|腹|胸|脊|骨盤|骨盆|肩|肝|心臓|心脏|腰|무릎|복부|흉부|척추|골반|어깨",
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
