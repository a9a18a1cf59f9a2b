/** Updates clients for tests/web_client: one JSON request a line on standard input, one answer a line. */
import { createInterface } from "node:readline";
import { Client, UpdateError, type Release } from "../../src/updates/index.ts";
import { sha256 } from "../../src/updates/bytes.ts";
import { FolderStore } from "./folder.ts";

interface Request {
  op: "update" | "check" | "active";
  folder: string;
  repository: string;
  root: string;
  line: string;
  variants: string[];
  now: number;
  limits: { seconds: number; bytesPerSecond: number };
}

/** No runtime for .tflite files is here: what begins as one passes. */
function selfTest({ files, manifest }: Release): Promise<void> {
  const head = new TextDecoder().decode(files.get(manifest.entry)?.subarray(4, 8));
  return head === "TFL3" ? Promise.resolve() : Promise.reject(new Error("it is no model"));
}

async function answer({ op, folder, root, now, ...options }: Request): Promise<unknown> {
  const [state, files] = [new FolderStore(`${folder}/state`), new FolderStore(`${folder}/files`)];
  const given = { ...options, root: new Uint8Array(Buffer.from(root, "base64")), state, files, selfTest };
  const client = new Client({ ...given, now: () => now });
  try {
    if (op !== "active") return { outcome: await client[op]() };
    const found = await client.active();
    const model = found?.files.get(found.manifest.entry);
    return found && model ? { version: found.version, model: await sha256(model) } : {};
  } catch (error) {
    if (error instanceof UpdateError) return { error: `${error.name}: ${error.message}` };
    return { error: String(error) };
  }
}

for await (const line of createInterface(process.stdin)) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
}
