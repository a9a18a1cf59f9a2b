/** What draws: a GPU, or software that stands for one, whose times say nothing about any GPU. */
import { Fault } from '../npy.mjs';

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** @returns {Record<string, string>} facts about WebGL's renderer */
export function webGLFacts() {
  const context = typeof OffscreenCanvas === 'undefined' ? null : new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!context) throw new Fault('TargetUnavailable', 'this browser has no WebGL 2 in workers here');
  // Firefox answers RENDERER itself and warns about the extension; others answer it with a placeholder.
  const named = /firefox/i.test(navigator.userAgent) ? null : context.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(context.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension('WEBGL_lose_context')?.loseContext();
  return { gpu: renderer, software_gpu: SOFTWARE.test(renderer) ? 'yes' : 'no' };
}

/** @returns {Promise<Record<string, string>>} facts about WebGPU's adapter */
export async function webGPUFacts() {
  const reason = self.isSecureContext ? 'this browser has no WebGPU' : 'browsers have WebGPU in secure contexts only, which http over a network is none';
  if (!navigator.gpu) throw new Fault('TargetUnavailable', reason);
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Fault('TargetUnavailable', 'WebGPU finds no adapter: this browser has no GPU that it would use');
  const info = adapter.info ?? {};
  const name = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ');
  const software = SOFTWARE.test(name) || (info.isFallbackAdapter ?? adapter.isFallbackAdapter) === true;
  return { gpu: name || 'not named', software_gpu: software ? 'yes' : 'no' };
}
