/** Pictures from files and from the camera, as counts. */
import { acts, element, enable, say } from "./page.ts";
import { found, type Pixels } from "./picture.ts";
import { cameraTrouble } from "./words.ts";

/** Pictures are looked at in this size. */
const LOOKED_AT = 200;
const FRAMES_PER_SECOND = 6;

/** Counts of a digit, or null where none was found. */
type Tell = (counts: Uint8Array | null) => void;

function squared(source: CanvasImageSource, width: number, height: number): Pixels {
  const side = Math.min(width, height);
  const canvas = Object.assign(document.createElement("canvas"), { width: LOOKED_AT, height: LOOKED_AT });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("no canvas is left");
  context.fillStyle = "#fff"; // what is transparent is paper
  context.fillRect(0, 0, LOOKED_AT, LOOKED_AT);
  context.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, LOOKED_AT, LOOKED_AT);
  return context.getImageData(0, 0, LOOKED_AT, LOOKED_AT);
}

/** A picture that a person chooses, drops or pastes. */
export class PictureFile {
  readonly #says = element("picture-says", HTMLElement);
  readonly #shown = element("shown", HTMLCanvasElement);
  readonly #tell: Tell;
  /** Files that were given; only the last one counts. */
  #given = 0;

  constructor(tell: Tell) {
    this.#tell = tell;
    const file = element("file", HTMLInputElement);
    const drop = element("drop", HTMLElement);
    file.addEventListener("change", () => {
      void this.#take(file.files?.[0]);
      file.value = ""; // so that the same one can be chosen again
    });
    for (const kind of ["dragover", "drop", "dragleave"] as const) {
      drop.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop") void this.#take(event.dataTransfer?.files[0]);
      });
    }
    document.addEventListener("paste", (event) => {
      if (drop.checkVisibility()) void this.#take(event.clipboardData?.files[0]);
    });
  }

  /** What is being opened is not wanted any more. */
  stop(): void {
    this.#given++;
  }

  async #take(file: File | undefined): Promise<void> {
    if (file === undefined) return;
    const given = ++this.#given;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      if (given === this.#given) say(this.#says, `${file.name} is no picture that this browser opens. Choose a PNG, JPEG or WebP file.`);
      return;
    }
    const pixels = squared(bitmap, bitmap.width, bitmap.height);
    bitmap.close();
    if (given !== this.#given) return;
    Object.assign(this.#shown, { width: LOOKED_AT, height: LOOKED_AT, hidden: false });
    this.#shown.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(pixels.data), LOOKED_AT), 0, 0);
    element("drop-words", HTMLElement).classList.add("unseen");
    const counts = found(pixels);
    say(this.#says, counts === null ? `No digit was found in ${file.name}: ink and paper must differ.` : `${file.name} was read.`);
    this.#tell(counts);
  }
}

function end(stream: MediaProvider | null): void {
  if (stream instanceof MediaStream) for (const track of stream.getTracks()) track.stop();
}

/** The camera, while a person lets it look. */
export class Camera {
  readonly #says = element("camera-says", HTMLElement);
  readonly #toggle = element("camera-toggle", HTMLButtonElement);
  readonly #video = element("video", HTMLVideoElement);
  readonly #tell: Tell;
  #timer = 0;
  /** Starts and stops; a start that another one came after ends with nothing. */
  #turns = 0;

  constructor(tell: Tell) {
    this.#tell = tell;
    acts(this.#toggle, () => {
      if (this.#timer) this.stop();
      else void this.#start();
    });
  }

  async #start(): Promise<void> {
    const turn = ++this.#turns;
    enable(this.#toggle, false);
    try {
      const camera = { facingMode: "environment", width: { ideal: 640 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video: camera });
      if (turn !== this.#turns) {
        end(stream);
        return;
      }
      this.#video.srcObject = stream;
      await this.#video.play();
      if (turn !== this.#turns) return;
      this.#timer = window.setInterval(() => this.#look(), 1000 / FRAMES_PER_SECOND);
      say(this.#toggle, "Stop the camera");
      say(this.#says, "The camera looks. Its pictures are read here and kept nowhere.");
    } catch (error) {
      if (turn !== this.#turns) return;
      this.stop();
      const { what, remedy } = cameraTrouble(error);
      say(this.#says, `${what} ${remedy}`);
    }
    enable(this.#toggle, true);
  }

  stop(): void {
    this.#turns++;
    clearInterval(this.#timer);
    this.#timer = 0;
    end(this.#video.srcObject);
    this.#video.srcObject = null;
    say(this.#toggle, "Start the camera");
    enable(this.#toggle, true);
  }

  #look(): void {
    const { videoWidth, videoHeight } = this.#video;
    if (videoWidth > 0 && !document.hidden) this.#tell(found(squared(this.#video, videoWidth, videoHeight)));
  }
}
