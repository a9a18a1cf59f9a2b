// A minimal app: what a page shows is its title, which the test reads from the answer that it sends.
import { description, load, ModelError, type Label, type Prediction } from "digits";

async function main(): Promise<void> {
  const model = await load({ onProgress: ({ status, allLoaded, allTotal }) => void [status, allLoaded / allTotal] });
  const prediction: Prediction = await model.predict(new Float32Array(32 * 32).fill(0.5));
  const label: Label | undefined = prediction.classes[0]?.label;
  const values: Float32Array = prediction.outputs.probabilities.values;
  await say({ thread: model.info.thread, runtime: model.info.runtime, label, values: [...values], name: description.name });
  model.dispose();
}

async function say(result: object): Promise<void> {
  await fetch(`http://127.0.0.1:${new URL(location.href).searchParams.get("control") ?? ""}/answer`, { method: "POST", body: JSON.stringify({ id: Number(new URL(location.href).searchParams.get("id")), result }) });
}

main().catch((error: unknown) => say({ error: error instanceof ModelError ? `${error.code} ${error.message} ${error.remedy}` : String(error) }));
