"""The micro-benchmark of an image at a site: staged as a run is, started by a run's launch line."""

from __future__ import annotations

from imagefactory.base.errors import ToolFailed, UsageFault
from imagefactory.base.report import Report
from imagefactory.launch import Bench, bench_script, judge_bench, known_image, side_of
from imagefactory.run.execute import Tools, stage_image
from imagefactory.run.job import Via
from imagefactory.run.plan import plan_run
from imagefactory.run.shell import open_shell

SECONDS = 900.0
_MODEL = "few-cells"  # any: a run is planned to have its image staged, and never started


def bench_site(
    image: str, site: str, report: Report, *, module: str = "numpy", reset: bool = False
) -> Bench:
    """Two ranks on one node, and on two where the site has them, in the image and on the host.

    The first benchmark of a site sets its floors; `reset` sets them anew. Raises what a run of the
    image would raise before its job, ToolFailed where the site gave no answer.
    """
    plan = plan_run(image, site, _MODEL, report=report)
    if plan.via is not Via.SHELL:
        raise UsageFault(f"site {site} has no shell for us", fix="use a site with ssh access")
    found = plan.image
    side = known_image(found.sif, found.size, report, sif=found.source, reference=found.pinned)
    script = bench_script(
        side, plan.site, side_of(plan.site), found.path, plan.folder, module, plan.id
    )
    with open_shell(plan.site.access, report) as shell:
        with report.step(f"stage one on {plan.site.name}: the image"):
            stage_image(plan, Tools(shell), report)
        with report.step(f"two ranks at {plan.site.name}"):
            done = shell.run(script, timeout=SECONDS)
        bench = judge_bench(plan.site.name, found.reference, done.output, reset=reset)
        if not bench.measured:
            raise ToolFailed("the benchmark gave no answer", where=shell.where, detail=done.tail)
    return bench
