/** What the page says. */
import type { Classification } from "digits";
import type { UpdateState } from "digits/updates";

const SURE = 0.95;
const LIKELY = 0.6;
/** A second class is named from this confidence on. */
const WORTH_NAMING = 0.02;

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** `Surely 7 (99.2 %).` or `Perhaps 4 (48.0 %), or 9 (41.5 %).` */
export function reading(classes: readonly Pick<Classification, "label" | "confidence">[]): string {
  const [first, second] = classes;
  if (first === undefined) return "";
  const how = first.confidence >= SURE ? "Surely" : first.confidence >= LIKELY ? "Probably" : "Perhaps";
  const other = second && second.confidence >= WORTH_NAMING ? `, or ${second.label} (${percent(second.confidence)})` : "";
  return `${how} ${first.label} (${percent(first.confidence)})${other}.`;
}

const RUNTIMES: Readonly<Record<string, string>> = {
  "tfjs-wasm": "TF.js on WebAssembly",
  "tfjs-webgl": "TF.js on WebGL",
  "tfjs-webgpu": "TF.js on WebGPU",
  "litert-wasm": "LiteRT.js on WebAssembly",
  "litert-webgpu": "LiteRT.js on WebGPU",
};

export function runtime(name: string): string {
  return RUNTIMES[name] ?? name;
}

export function bytes(count: number): string {
  return count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1e3).toFixed(0)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** Something did not work, and what to try. */
export interface Trouble {
  readonly what: string;
  readonly remedy: string;
}

function member(error: unknown, name: string): string {
  const found: unknown = typeof error === "object" && error !== null && name in error ? (error as Record<string, unknown>)[name] : "";
  return typeof found === "string" ? found : "";
}

const CAMERA: Readonly<Record<string, Trouble>> = {
  NotFoundError: { what: "No camera is there.", remedy: "Connect one, or choose a picture." },
  NotAllowedError: { what: "The camera was not allowed.", remedy: "Allow it for this page in the browser's settings, or choose a picture." },
  NotReadableError: { what: "The camera is used by something else.", remedy: "Close that, and start it again." },
  OverconstrainedError: { what: "No camera fits.", remedy: "Connect another one, or choose a picture." },
};

export function cameraTrouble(error: unknown): Trouble {
  return CAMERA[member(error, "name")] ?? { what: "The camera does not start here.", remedy: "It needs https, or localhost. Or choose a picture." };
}

const MODEL: Readonly<Record<string, string>> = {
  "not-found": "A file of the model is not on the server.",
  network: "The server does not answer.",
  truncated: "A file of the model came incomplete.",
  "wrong-hash": "A file of the model is not the one it should be, so it is not used.",
  "wrong-type": "Something else came in place of a file of the model.",
  "worker-blocked": "The model's worker does not start.",
  "unsupported-runtime": "This runtime does not work here.",
  "runtime-failed": "The runtime gave up.",
};

/** Of an error of the package, or of anything else. */
export function modelTrouble(error: unknown): Trouble {
  const known = MODEL[member(error, "code")];
  const message = member(error, "message") || String(error);
  const remedy = member(error, "remedy");
  return known === undefined ? { what: `The model does not run: ${message}.`, remedy } : { what: known, remedy: remedy || message };
}

const FAILED: Readonly<Record<string, string>> = {
  refused: "What the repository gave was refused",
  unavailable: "The repository cannot be followed now",
  storage: "The browser stores nothing here",
  input: "The repository is not set up",
};

/** What is said of updates, and what the button beside it does; null: nothing while something is under way. */
export function updateWords(state: UpdateState, runs: string): { says: string; asks: string | null } {
  const { status, next, loaded, total, error, refused, persistent } = state;
  const again = "Look now";
  const kept = persistent ? "" : " The browser keeps no updates for this page: the next visit begins anew.";
  switch (status) {
    case "idle":
      return { says: "Nothing was looked for yet.", asks: again };
    case "checking":
      return { says: "Looking for a newer release.", asks: null };
    case "downloading":
      return { says: `A newer release comes: ${bytes(loaded)} of ${bytes(total)}.`, asks: null };
    case "testing":
      return { says: "A newer release is here, and is tested.", asks: null };
    case "current":
      return { says: `${runs} is what the repository has for this browser.${kept}`, asks: again };
    case "ready":
      return { says: `${next?.version ?? "The page's own version"} is here and passed its test.${kept}`, asks: `Use ${next?.version ?? "it"}` };
    case "kept":
      return { says: `${runs} goes on. ${refused.length ? `Not taken: ${refused.join("; ")}.` : "What is offered does not run here."}`, asks: again };
    case "failed":
      return { says: `${FAILED[error?.code ?? ""] ?? "No update"}: ${error?.message ?? ""}. ${runs} goes on.`, asks: again };
  }
}
