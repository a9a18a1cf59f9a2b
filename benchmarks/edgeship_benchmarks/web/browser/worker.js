/**
 * Where models run: off the page's thread, so that neither frames nor a hidden tab hold up what is timed. A classic worker,
 * because TF.js's bundles and LiteRT.js load their parts with importScripts, which module workers do not have.
 */
const agent = import('./agent.mjs');

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, result: await (await agent).answer(data) });
  } catch (error) {
    const { kind = 'EdgeshipError', remedy = '' } = error ?? {};
    self.postMessage({ id: data.id, error: { type: kind, message: String(error?.message ?? error), remedy } });
  }
};
