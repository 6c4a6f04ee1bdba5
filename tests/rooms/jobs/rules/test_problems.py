from holdfast.kernel.errors import Problem
from holdfast.rooms.jobs.rules import problems


def test_every_refusal_has_a_code_of_its_own():
    found = [
        kind
        for kind in vars(problems).values()
        if isinstance(kind, type) and issubclass(kind, Problem) and kind.__module__ == problems.__name__
    ]
    codes = [kind.code for kind in found]
    assert len(found) > 10
    assert len(set(codes)) == len(codes)
    assert all(code.startswith("job-") for code in codes)


def test_whose_job_it_is_is_not_told():
    assert problems.unknown_job().status == 404
    assert "another user" in problems.unknown_job().hint
    assert problems.key_reused("k" * 500).status == 409
