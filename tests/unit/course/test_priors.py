"""Which studies of a patient's number are compared."""

from datetime import datetime

from pipeline.course.priors import StudyFacts, group_of
from pipeline.settings import Priors


def facts(study: str, year: int | None, birth: str = "19600102", sex: str = "F", issuer: str = "") -> StudyFacts:
    at = datetime(year, 1, 1) if year else None
    return StudyFacts(study, f"1.2.{study}", "P1", at, (issuer, birth, sex))


def studies(anchor: StudyFacts, *others: StudyFacts, policy: Priors | None = None) -> tuple[list[str], list[str]]:
    group = group_of(anchor, [anchor, *others], policy or Priors())
    return [one.study for one in group.studies], [one.study for one in group.left_out]


def test_studies_of_one_person_by_date() -> None:
    assert studies(facts("b", 2022), facts("c", 2023), facts("a", 2021)) == (["a", "b", "c"], [])


def test_somebody_else_with_the_same_number_is_left_out_and_told() -> None:
    anchor = facts("a", 2023)
    others = facts("b", 2022, birth="19010203"), facts("c", 2021, sex="M"), facts("d", 2020, issuer="X")
    assert studies(anchor, *others[:2]) == (["a"], ["b", "c"])
    assert studies(facts("a", 2023, issuer="Y"), others[2]) == (["a"], ["d"])


def test_what_is_not_given_agrees_unless_the_number_belongs_to_several() -> None:
    anchor, silent = facts("a", 2023), facts("b", 2022, birth="")
    assert studies(anchor, silent) == (["b", "a"], [])
    assert studies(anchor, silent, facts("c", 2021, birth="19010203")) == (["a"], ["b", "c"])


def test_a_study_without_a_date_has_no_place() -> None:
    assert studies(facts("a", 2023), facts("b", None)) == (["a"], ["b"])
    assert studies(facts("a", None), facts("b", 2023)) == ([], ["a"])


def test_few_and_not_too_old() -> None:
    others = [facts(str(year), year) for year in range(2010, 2023)]
    assert studies(facts("2023", 2023), *others, policy=Priors(most=2, days=0))[0] == ["2021", "2022", "2023"]
    assert studies(facts("2023", 2023), *others, policy=Priors(most=9, days=800))[0] == ["2021", "2022", "2023"]
