"""Web packages: verified files of a build as an npm package that runs them in browsers and in Node.

    package.json, README.md, THIRD_PARTY.md, LICENSE-Apache-2.0.txt, model.d.ts
    index.js      what pages import: loads, predicts, types in model.d.ts
    node.js       the same for Node
    worker.js     where the model runs; it holds TF.js with the operators of this model only
    sw.js         a service worker, for pages that start without a network
    assets/       model, WebAssembly and further runtimes, named by their SHA-256
    manifest.json schema `edgeship.web/1`: all files with SHA-256

Made from a build folder alone; the same build gives the same bytes. The TypeScript sources are in `edgeship/web/src`.
"""

from __future__ import annotations

from edgeship.bundle.web.choosing import RUNTIMES
from edgeship.bundle.web.making import WebPackage, WebWishes, web_package

__all__ = ["RUNTIMES", "WebPackage", "WebWishes", "web_package"]
