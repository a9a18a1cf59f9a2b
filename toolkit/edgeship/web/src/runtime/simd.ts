/** (module (func (result v128) (i8x16.splat (i32.const 0)))), see the proposal "Fixed-width SIMD". */
const PROBE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];

/** Whether WebAssembly has vectors of 128 bits here: all browsers since 2023. */
export function hasSimd(): boolean {
  return WebAssembly.validate(Uint8Array.from(PROBE));
}
