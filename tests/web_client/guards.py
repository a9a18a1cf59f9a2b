"""What stands against the attacks in the web client: each guard is a place in its source, and how to take it away."""

from __future__ import annotations

#: Name -> file, a text that is in it once, and what stands there without the guard.
GUARDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "signatures": (("metadata.ts", "if (by.size < threshold) {", "if (by.size < 0) {"),),
    "threshold": (("metadata.ts", "if (by.size < threshold) {", "if (by.size < 1) {"),),
    "next root": (
        ("trust.ts", "return believed(found, found.content.keys, found.content.roles.root);", "return found.content;"),
        ("trust.ts", 'checkVersion("root", found.version, this.#root.version + 1);', ""),
    ),
    "rollback": (
        ("trust.ts", "if (before) {", "if (0) {"),
        ("trust.ts", "of before?.meta ?? [])", "of [])"),
    ),
    "versions that were seen": (("seen.ts", "if (!before) return;", "return;"),),
    "expiry": (("trust.ts", "if (this.now < expires) return;", "return;"),),
    "hashes of metadata": (("trust.ts", "return (length ?? bytes.length) === bytes.length &&", "return true ||"),),
    "size of answers": (("http.ts", "if (at + next.value.length > most)", "if (0)"),),
    "type of metadata": (("metadata.ts", "if (_type !== kind)", "if (0)"),),
    # What is behind a document, or lacking at its end, does not matter.
    "parser": (
        (
            "json.ts",
            "JSON.parse(text);",
            "[text, text + '}', text.slice(0, -1), text.slice(0, -3)].map(lenient).find((found) => found);",
        ),
        ("json.ts", "const DEEPEST", "const lenient = (t) => { try { return JSON.parse(t) } catch {} };const DEEPEST"),
        ("json.ts", "if (keys !== ownKeys(value)) throw", "if (0) throw"),
    ),
    "new keys begin anew": (("seen.ts", "before.join() === now.join()", "true"),),
    # What the online role has signed counts as much, and first.
    "signed by targets itself": (
        ("trust.ts", "      this.#fresh(found, name);\n", "(this.all ??= []).unshift(found);\n"),
        ("trust.ts", "    notBefore(this.seen, found);\n", 'await this.delegated("rollout/points/v1.json");\n'),
        (
            "trust.ts",
            "return target(this.#targets, path);",
            "return this.all.map((t) => target(t, path)).find(Boolean);",
        ),
    ),
    "names of downloads": (("metadata.ts", "const digest = text(/^[0-9a-f]{64}$/);", "const digest = text();"),),
    "policy": (("releases.ts", "numbers(release)[0] === major && !isBelow", "true || !isBelow"),),
    "one line": (("releases.ts", "if (numbers(release)[0] !== major)", "if (0)"),),
    "content of files": (
        ("bytes.ts", "bytes.length === length && (await sha256(bytes)) === digest", "bytes.length === length"),
    ),
    "length of files": (("download.ts", "if (at < file.length) throw", "if (0) throw"),),
    "size of documents": (("fetching.ts", "if (target.length > most) throw", "if (0) throw"),),
    # A manifest is believed to be that of the release it was looked for.
    "manifest of this release": (
        ("fetching.ts", "if (said !== `${this.line.model} ${version} ${variant}`)", "if (0)"),
    ),
    "names in manifests": (("manifest.ts", "const name = text(", "const name = text() ?? text("),),
    "size of what a patch makes": (("delta.ts", "if (size > limit)", "if (0)"),),
    "the stored file where a patch fails": (("fetching.ts", "if (!base ||", "if (true ||"),),
    "deadline": (("http.ts", "seconds * 1000", "1e9"),),
    "pages for people": (("http.ts", "if (status === 511 || (status < 400 && isPage)) throw", "if (0) throw"),),
    "pages for people under another name": (("http.ts", r"if (/^\s*</", "if (/^never/"),),
    "clock that is behind": (("trust.ts", "if (this.now < floor) {", "if (0) {"),),
    "moments are proven by signatures": (
        ("trust.ts", "Math.min(this.now, this.#timestamp.expires - TIMESTAMP_LIFE)", "this.now"),
    ),
    "self-test": (("updating.ts", "await this.#test(wanted);", ""),),
}
