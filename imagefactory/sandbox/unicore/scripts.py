"""The texts that a UNICORE/X hands to its TSI, and what the TSI makes of them. No effects.

They are those of the recordings (the job's log shows them), to the letter: so the traps in them,
which facts/unicore-nmpi.md 2.3 and 2.9 measure, are in them here too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imagefactory.sandbox.unicore.description import Unfit, Work

HEADER = "#!/bin/bash -l\n"
UMASK = "0027"
EXIT_FILE = "UNICORE_SCRIPT_EXIT_CODE"
PID_FILE = "UNICORE_SCRIPT_PID"
_ILLEGAL = ("\n", "\r", "`", "$(")


@dataclass(frozen=True)
class Place:
    """Where a job is: its folder (with a `/` at the end), and who it is for."""

    folder: str
    user_dn: str


def step_folder(place: Place, step: str) -> str:
    """Where the outcome of the login-node command PRE_0 or POST_0 is."""
    return f"{place.folder}.UNICORE_{step}/"


def login_command_script(work: Work, place: Place, step: str, command: str) -> str:
    """A login-node command in the background: PRE_0 or POST_0 (recorded: tsi-job-prefail)."""
    lines = [
        f"{HEADER}#TSI_EXECUTESCRIPT",
        "#TSI_DISCARD_OUTPUT true",
        "#TSI_SCRIPT",
        f"UC_WORKING_DIRECTORY={place.folder}; export UC_WORKING_DIRECTORY",
        f"UC_OUTPUT_DIRECTORY={step_folder(place, step)}; export UC_OUTPUT_DIRECTORY",
        "cd ${UC_WORKING_DIRECTORY}",
        *_environment(work.environment),
    ]
    redirect = " >> ${UC_OUTPUT_DIRECTORY}/stdout 2>> ${UC_OUTPUT_DIRECTORY}/stderr"
    return (
        "\n".join(lines)
        + "\n{ "
        + _executed(command, f"{command}{redirect}", f"{step}_{EXIT_FILE}")
        + f"}} & echo $! > ${{UC_OUTPUT_DIRECTORY}}/{step}_{PID_FILE}"
    )


def batch_message(work: Work, place: Place, granted: Mapping[str, str]) -> str:
    """The message of a batch job (recorded: tsi-job-ok); RAW ones name their file instead."""
    lines = [f"{HEADER}#TSI_SUBMIT", "", *_directives(work, place)]
    if work.kind == "RAW":
        lines += ["#TSI_JOB_MODE raw", f"#TSI_JOB_FILE {work.bss_file}"]
    else:
        lines += _resources(granted)
    return "\n".join(lines) + "\n" + _script(work, place)


def login_message(work: Work, place: Place) -> str:
    """The message of a job on the login node (recorded: tsi-job-login)."""
    lines = [f"{HEADER}#TSI_RUN_ON_LOGIN_NODE", "", *_directives(work, place)]
    return "\n".join(lines) + "\n" + _script(work, place)


def expand(message: str, home: str, user: str) -> str:
    """What the TSI does to a message: these words go everywhere, inside single quotes too."""
    return message.replace("$HOME", home).replace("$LOGNAME", user).replace("$USER", user)


def slurm_script(message: str, program: str) -> str:
    """The script that the TSI gives to sbatch: directives, then a call of `program`."""
    folder = parameter(message, "USPACE_DIR") or ""
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in slurm_options(message))]
    outcome = parameter(message, "OUTCOME_DIR")
    lines += [
        f"#SBATCH --output={outcome}/{parameter(message, 'STDOUT')}",
        f"#SBATCH --error={outcome}/{parameter(message, 'STDERR')}",
        f"#SBATCH --chdir={folder}",
        f"umask {parameter(message, 'UMASK') or UMASK}",
        f"{folder}/{program}",
    ]
    return "\n".join(lines) + "\n"


def slurm_options(message: str) -> list[str]:
    """sbatch's options (tsi c311a52, slurm/BSS.py). There is no --cpus-per-task."""
    name = parameter(message, "JOBNAME") or "UNICORE_job"
    options = [f"--job-name={'UNICORE_job' if re.search(r'[^0-9a-zA-Z.:=~/]', name) else name}"]
    words = {"QUEUE": "partition", "PROJECT": "account"}
    options += _worded(message, words)
    if parameter(message, "EXCLUSIVE") == "true":
        options.append("--exclusive")
    nodes, tasks = number(message, "NODES"), number(message, "PROCESSORS_PER_NODE")
    total = number(message, "TOTAL_PROCESSORS")
    if nodes > 0:
        options.append(f"--nodes={nodes}")
        options += [f"--ntasks-per-node={tasks}"] if tasks > 0 else []
    elif total > 0:
        options.append(f"--ntasks={total}")
    options += _worded(message, {"BSS_NODES_FILTER": "constraint", "QOS": "qos"})
    if number(message, "MEMORY") >= 0:
        options.append(f"--mem={number(message, 'MEMORY')}")
    if number(message, "TIME") > 0:
        options.append(f"--time={max(number(message, 'TIME') // 60, 1)}")
    return options + _worded(message, {"RESERVATION_REFERENCE": "reservation"})


def parameter(message: str, name: str) -> str | None:
    """The value of a `#TSI_` line, or None."""
    found = re.search(rf"^#TSI_{name} (.+)$", message, re.MULTILINE)
    return None if found is None or found[1] == "NONE" else found[1]


def number(message: str, name: str) -> int:
    """The number of a `#TSI_` line, -1 where there is none."""
    text = parameter(message, name) or ""
    return int(text) if re.fullmatch(r"-?\d+", text) else -1


def _worded(message: str, words: Mapping[str, str]) -> list[str]:
    found = [(option, parameter(message, name)) for name, option in words.items()]
    return [f"--{option}={value}" for option, value in found if value is not None]


def _directives(work: Work, place: Place) -> list[str]:
    reservation = work.resources.get("Reservation")
    return [
        *([f"#TSI_RESERVATION_REFERENCE {_legal(reservation, 'Reservation')}"]
          if reservation and work.kind != "ON_LOGIN_NODE" else []),
        f"#TSI_OUTCOME_DIR {place.folder}",
        f"#TSI_USPACE_DIR {place.folder}",
        f"#TSI_STDOUT {_legal(work.stdout, 'Stdout')}",
        f"#TSI_STDERR {_legal(work.stderr, 'Stderr')}",
        f"#TSI_JOBNAME {_legal(work.name, 'Job name')}",
        "#TSI_EMAIL NONE",
    ]  # fmt: skip


def _resources(granted: Mapping[str, str]) -> list[str]:
    words = {
        "Project": "PROJECT",
        "QoS": "QOS",
        "Exclusive": "EXCLUSIVE",
        "NodeConstraints": "BSS_NODES_FILTER",
    }
    lines = [
        f"#TSI_{word} {_legal(granted[name], name)}"
        for name, word in words.items()
        if name in granted
    ]
    runtime = int(granted.get("Runtime", -1))
    memory = int(granted["MemoryPerNode"]) // 2**20 if "MemoryPerNode" in granted else -1
    numbers = {
        "NODES": granted.get("Nodes", "-1"),
        "PROCESSORS_PER_NODE": granted.get("CPUsPerNode", "-1"),
        "TOTAL_PROCESSORS": granted.get("TotalCPUs", "-1"),
    }
    lines += [f"#TSI_TIME {runtime}"] if runtime > 0 else []
    lines += [f"#TSI_MEMORY {memory}"] if memory > 0 else []
    lines += [f"#TSI_{name} {value}" for name, value in numbers.items()]
    lines.append(f"#TSI_QUEUE {_legal(granted['Queue'], 'Queue')}")
    shown = {**numbers, "RUNTIME": runtime, "MEMORY_PER_NODE": memory}
    return lines + [f"UC_{name}={value}; export UC_{name}" for name, value in shown.items()]


def _script(work: Work, place: Place) -> str:
    """From #TSI_SCRIPT on: the part that bash runs."""
    lines = [
        "#TSI_SCRIPT",
        f"#TSI_UMASK {UMASK}",
        f"umask {UMASK}",
        *_environment(work.environment),
        f'UC_USERDN="{place.user_dn}"; export UC_USERDN',
        "PATH=$PATH:. ; export PATH",
        f'UC_WORKING_DIRECTORY="{place.folder}"; export UC_WORKING_DIRECTORY',
        f'UC_OUTPUT_DIRECTORY="{place.folder}"; export UC_OUTPUT_DIRECTORY',
        "cd ${UC_WORKING_DIRECTORY}",
    ]
    executable = work.executable or ""
    line = " ".join([executable, *work.arguments])
    if work.stdin is not None:
        line += f" < ${{UC_WORKING_DIRECTORY}}/{work.stdin}"
    before = "" if work.before_on_login else work.before or ""
    text = "\n".join(lines) + "\n" + _executed(executable, line, EXIT_FILE, before)
    if work.after and not work.after_on_login:
        text += f"\n# user defined post-command\n{work.after}\n"
    return text


def _executed(executable: str, line: str, exit_file: str, before: str = "") -> str:
    """insertExecutable of TSIMessages.java: the executable's text stands inside double quotes."""
    trimmed = executable.strip()
    first = next((word for word in trimmed.split(" ") if word.strip()), trimmed)
    text = (
        f'UC_EXECUTABLE="{trimmed}"; export UC_EXECUTABLE\n'
        f'chmod u+x "{first}" 2> /dev/null \n'
        f"rm -f ${{UC_OUTPUT_DIRECTORY}}/{exit_file}\n"
    )
    if before:
        text += f"# user defined pre-command\n{before}\n"
    return f"{text}{line}\n\necho $? > ${{UC_OUTPUT_DIRECTORY}}/{exit_file}\n"


def _environment(values: Mapping[str, str]) -> list[str]:
    return [f'{name}="{value}"; export {name}' for name, value in values.items()]


def _legal(value: str, what: str) -> str:
    for word in _ILLEGAL:
        if word in value:
            raise Unfit(f"{what} contains illegal characters: '{word}'")
    return value
