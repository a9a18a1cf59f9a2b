/** Whether there is a GPU that WebGPU would use. */

/** Why not; empty where there is one. */
export async function webgpuMissing(): Promise<string> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  if (gpu === undefined) return "there is no WebGPU, which browsers have in secure contexts only";
  return (await gpu.requestAdapter()) ? "" : "WebGPU finds no adapter";
}
