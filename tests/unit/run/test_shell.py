"""ssh: what is asked of it, and what its failures mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ServiceAway, TrustRefused, UsageFault
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.run.shell import explain_ssh, open_shell, ssh_argv
from imagefactory.site import Access
from tests.conftest import Golden

ACCESS = Access("ssh", "login.example.org", 2201, "me", Path("/k/my id"), Path("/k/known"))


def test_ssh_words(golden: Golden) -> None:
    golden.check("run/ssh.txt", "\n".join(ssh_argv(ACCESS, Path("/s/s"))) + "\n")


def test_the_users_own_ssh_settings_are_kept() -> None:
    words = " ".join(ssh_argv(Access("ssh", "jusuf"), Path("/s/s")))
    assert "BatchMode=yes" in words
    assert "StrictHostKeyChecking=yes" in words
    assert "KnownHostsFile" not in words
    assert "IdentitiesOnly" not in words


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (0, "", None),
        (1, "ssh: connect to host x port 22: Connection refused", None),
        (255, "ssh: connect to host x port 22: Connection refused", ServiceAway),
        (255, "ssh: Could not resolve hostname x", ServiceAway),
        (255, "Host key verification failed.", TrustRefused),
        (255, "me@x: Permission denied (publickey).", TrustRefused),
    ],
)
def test_failures(status: int, text: str, kind: type[Exception] | None) -> None:
    error = explain_ssh(Done(("ssh",), status, "", text, 0.1), ACCESS)
    assert (type(error) if error else None) is kind
    if error:
        assert text in str(error)
        assert "ssh -p 2201 me@login.example.org" in str(error) or "known_hosts" in str(error)


def test_a_site_behind_unicore_has_no_shell() -> None:
    with pytest.raises(UsageFault, match="no shell"), open_shell(Access("unicore"), Silent()):
        pass
