/** The page: what a person gives goes to the model, what the model says goes to the page. */
import "./style.css";
import { description, keepOffline, type Info, type RuntimeName } from "digits";
import { Answer } from "./answer.ts";
import { Following } from "./following.ts";
import { Pad } from "./pad.ts";
import { acts, element, enable, say } from "./page.ts";
import { Camera, PictureFile } from "./pictures.ts";
import { CELLS, counted, drawn, pixels } from "./raster.ts";
import { Runner } from "./runner.ts";
import { Running } from "./running.ts";
import { bytes, modelTrouble, type Trouble } from "./words.ts";

const RUNS = 100;

const runner = new Runner();
const answer = new Answer(description.labels);
const running = new Running(description.runtimes, (name) => void start(name));
const following = new Following(() => void start(runner.model?.info.runtime ?? "auto"));
const trouble = { place: element("trouble", HTMLElement), again: element("trouble-again", HTMLButtonElement) };
/** What the network is to read: 8 x 8 counts. */
let counts: Uint8Array | null = null;
let empty = "Nothing is written yet.";

function show(found: Trouble | null, again?: () => void): void {
  trouble.place.hidden = found === null;
  say(element("trouble-what", HTMLElement), found?.what ?? "");
  say(element("trouble-remedy", HTMLElement), found?.remedy ?? "");
  trouble.again.hidden = again === undefined;
  trouble.again.onclick = () => again?.();
}

async function read(): Promise<void> {
  const shown = counts;
  if (shown === null) {
    answer.empty(empty);
    return;
  }
  answer.see(shown);
  try {
    const prediction = await runner.predict(pixels(shown));
    if (prediction === null || shown !== counts) return;
    answer.show(prediction.classes);
    running.add(prediction.runtime, prediction.milliseconds);
  } catch (error) {
    if (shown === counts) show(modelTrouble(error), () => void start("auto"));
  }
}

function give(given: Uint8Array | null, otherwise: string): void {
  counts = given;
  empty = otherwise;
  void read();
}

const pad = new Pad((strokes) => give(strokes.length ? counted(drawn(strokes)) : null, "Nothing is written yet."));
const camera = new Camera((found) => give(found, "No digit is seen."));
const picture = new PictureFile((found) => give(found, "No digit was found."));

for (const mode of document.querySelectorAll<HTMLInputElement>("input[name=mode]")) {
  mode.addEventListener("change", () => {
    for (const name of ["draw", "picture", "camera"]) element(name, HTMLElement).hidden = name !== mode.value;
    camera.stop();
    picture.stop();
    const { strokes } = pad;
    if (mode.value === "draw") give(strokes.length ? counted(drawn(strokes)) : null, "Nothing is written yet.");
    else give(null, mode.value === "picture" ? "No picture is chosen yet." : "The camera does not look yet.");
  });
}

async function start(runtime: RuntimeName | "auto"): Promise<void> {
  show(null);
  running.starting(runtime);
  try {
    const updates = await following.source();
    const model = await runner.start({
      runtime,
      ...(updates && { updates }),
      onProgress: ({ status, allLoaded, allTotal }) => {
        if (status === "progress") running.say(`Starting: ${bytes(allLoaded)} of ${bytes(allTotal)}.`);
      },
    });
    if (model === null) return;
    running.started(model.info);
    following.runs(model.info);
    await Promise.all([read(), offline(model.info)]);
  } catch (error) {
    running.failed();
    show(modelTrouble(error), () => void start(runtime));
  }
}

async function offline({ notices }: Info): Promise<void> {
  const place = element("offline-says", HTMLElement);
  const [notice] = notices;
  if (notice !== undefined) {
    say(place, `Not kept: ${notice.message}. ${notice.remedy}`);
    return;
  }
  if (!import.meta.env.PROD) return;
  try {
    await keepOffline("./sw.js", ["./updates.json"]);
    say(place, "Page and model are kept: they start without a network.");
  } catch (error) {
    const { what, remedy } = modelTrouble(error);
    say(place, `Not kept. ${what} ${remedy}`);
  }
}

async function measure(): Promise<void> {
  const button = element("measure", HTMLButtonElement);
  enable(button, false);
  const input = pixels(counts ?? new Uint8Array(CELLS * CELLS));
  try {
    for (let k = 0; k < RUNS; k++) {
      const prediction = await runner.predict(input);
      if (prediction !== null) running.add(prediction.runtime, prediction.milliseconds);
    }
  } catch (error) {
    show(modelTrouble(error), () => void start("auto"));
  }
  enable(button, true);
}

acts(element("measure", HTMLButtonElement), () => void measure());
void start("auto");
