"""Run by `spack -e ENVIRONMENT python`: what the packages of a lock are made of, as JSON lines.

Sources, resources and patches that Spack fetches; each with its place in a mirror, which only
Spack knows.
"""

import json
import sys

import spack.environment

for spec in sorted(spack.environment.active_environment().all_specs()):
    if spec.external or not spec.package.has_code:
        continue
    for stage in spec.package.stage:
        fetcher = stage.default_fetcher
        urls = [fetcher.url, *(getattr(fetcher, "mirrors", None) or [])] if fetcher.url else []
        entry = {
            "package": f"{spec.name}@{spec.version}",
            "sha256": getattr(fetcher, "digest", None) or "",
            "place": stage.mirror_layout.path,
            "urls": list(dict.fromkeys(url for url in urls if url)),
        }
        sys.stdout.write("SOURCE " + json.dumps(entry) + "\n")
