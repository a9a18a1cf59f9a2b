// An app that follows an update repository; only its types are checked here.
import { load, type ReleaseName } from "digits";
import { updates, type UpdateState } from "digits/updates";

const states: UpdateState[] = [];
const fresh = updates({ repository: "https://models.example", root: "{}", line: "digits/v1", every: 0, onState: (state) => void states.push(state) });
const model = await load({ updates: fresh });
export const release: ReleaseName | null = model.info.release;
const { status, next, error, refused, persistent, loaded, total } = await fresh.update({ signal: AbortSignal.timeout(1000) });
export const words: string = [status, next?.version, error?.code, error?.remedy, ...refused, persistent, loaded / total].join();
await fresh.rollBack("people complain");
fresh.close();
// Files from elsewhere.
await load({ updates: { read: (name: string) => Promise.resolve(new TextEncoder().encode(name)) } });
// @ts-expect-error: neither
await load({ updates: {} });
// @ts-expect-error: whom does it believe?
updates({ repository: "https://models.example", line: "digits/v1" });
