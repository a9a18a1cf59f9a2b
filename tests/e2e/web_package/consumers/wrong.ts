// Each line that follows an expectation must not compile.
import { load, type Label } from "digits";

const model = await load();
// @ts-expect-error: no such label
export const label: Label = "ten";
// @ts-expect-error: no such input
await model.predict({ picture: new Float32Array(1024) });
// @ts-expect-error: no array of that type
await model.predict(new Float64Array(1024));
// @ts-expect-error: no such output
export const output = (await model.predict(new Float32Array(1024))).outputs.other;
// @ts-expect-error: the package does not hold it
await load({ runtime: "litert-wasm" });
