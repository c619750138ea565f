"""The command `imagefactory`: which verbs there are, and the one place where errors are printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from imagefactory import __version__

# Name: module, one-line help. A module is imported when its verb is called: --help stays quick.
VERBS = {
    "setup": ("setup", "Install what building images and the sandbox need."),
    "release": ("release", "Spack environments pinned by a lock: look at them, compare them."),
    "image": ("image", "Define, build, test and inspect images."),
    "push": ("registry", "Push a SIF to an OCI registry."),
    "pull": ("registry", "Pull a SIF from an OCI registry, checked by digest."),
    "sandbox": ("sandbox", "Two Slurm sites, a registry and a UNICORE double on this machine."),
    "sites": ("sites", "The sites that a tag can be run at."),
    "site": ("site", "What a site is like, and whether an image starts there."),
    "models": ("models", "The networks that can be run, with their parameters."),
    "model": ("model", "What a backend can do with a model; modules from NESTML."),
    "run": ("run", "Run a model from an image at a site."),
    "runs": ("run", "The runs so far."),
    "store": ("store", "The images in a site's store; remove what no run needs."),
    "doctor": ("doctor", "What the log of a run, or any log, says."),
    "job": ("job", "A run as a UNICORE job description."),
    "compare": ("compare", "Say whether two runs computed the same."),
    "controls": ("controls", "How often compare errs, on real runs of which the truth is known."),
    "demo": ("demo", "One image from recipe to cross-site verdict."),
}


class LazyGroup(click.Group):
    """A group that imports the module of a verb only when that verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = import_module(f"imagefactory.cli.{VERBS[name][0]}")
        command = getattr(module, name)
        assert isinstance(command, click.Command)  # noqa: S101 - our own table
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from imagefactory.base.errors import nearest

            ctx.fail(f"there is no verb {args[0]!r}: {nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imagefactory")
def imagefactory() -> None:
    """An ESD release becomes one verified image and one verdict.

    \b
    Example:
      imagefactory image build recipes/nest
      imagefactory run oras://127.0.0.1:5000/demo/nest:3.10 --site bookworm
      imagefactory compare RUN RUN

    Shell completion (bash): eval "$(_IMAGEFACTORY_COMPLETE=bash_source imagefactory)"
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code of base/errors.py."""
    try:
        imagefactory.main(arguments, prog_name="imagefactory", standalone_mode=False)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
