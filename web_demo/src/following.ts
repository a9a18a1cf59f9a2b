/** The repository that this page follows, and what a person sees and decides of its releases. */
import type { Info } from "digits";
import type { Updates, UpdateState } from "digits/updates";
import { acts, element, enable, say } from "./page.ts";
import { updateWords } from "./words.ts";

/** `updates.json` beside the page: where releases come from, and whom to believe. */
interface Place {
  readonly repository: string;
  readonly line: string;
  /** `metadata/1.root.json` of the repository, as text. */
  readonly root: string;
}

/** So that a release which is published while the page is open is soon here. */
const MINUTES = 1;

export class Following {
  readonly #says = element("updates-say", HTMLElement);
  readonly #button = element("updates-do", HTMLButtonElement);
  readonly #apply: () => void;
  #updates: Updates | null = null;
  #info: Info | null = null;

  /** @param apply told that a person wants the release that is ready */
  constructor(apply: () => void) {
    this.#apply = apply;
    acts(this.#button, () => this.#act());
    addEventListener("online", () => void this.#updates?.update());
  }

  /** What `load` is to be given; undefined: the page was published without a repository. */
  async source(): Promise<Updates | undefined> {
    this.#updates ??= await this.#found();
    if (this.#updates === null) say(this.#says, "This page follows no repository.");
    return this.#updates ?? undefined;
  }

  /** This runs now. */
  runs(info: Info): void {
    this.#info = info;
    const { release, name, version } = info;
    say(element("version", HTMLElement), release === null ? `${name} ${version}, as it came with the page` : `${name} ${release.version} (${release.variant}), from the repository`);
    if (this.#updates) this.#show(this.#updates.state);
  }

  async #found(): Promise<Updates | null> {
    try {
      const answer = await fetch("./updates.json", { cache: "no-cache" });
      if (!answer.ok) return null;
      const { updates } = await import("digits/updates"); // two thirds of this page's script: only who follows pays
      const { repository, line, root } = (await answer.json()) as Place;
      return updates({ repository, line, root, every: MINUTES, onState: (state) => this.#show(state) });
    } catch {
      return null; // no server, and nothing kept: the package's own files serve
    }
  }

  #act(): void {
    if (this.#updates?.state.status === "ready") this.#apply();
    else void this.#updates?.update();
  }

  #show(state: UpdateState): void {
    if (this.#info === null) return;
    const { says, asks } = updateWords(state, this.#info.release?.version ?? this.#info.version);
    say(this.#says, says);
    enable(this.#button, asks !== null);
    this.#button.hidden = false;
    if (asks !== null) say(this.#button, asks);
    this.#button.classList.toggle("asks", state.status === "ready");
  }
}
