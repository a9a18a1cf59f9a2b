export interface OutputTensor<T extends Float32Array | Int32Array | Uint8Array> {
  readonly values: T;
  readonly shape: readonly number[];
}

export interface Classification {
  readonly label: Label;
  /** Of the label, in the order of the model. */
  readonly index: number;
  /** 0 to 1; of a model that gives scores without bounds, their softmax. */
  readonly confidence: number;
}

export interface Prediction {
  readonly outputs: Outputs;
  /** The surest first; of the first sample; empty for a model without labels. */
  readonly classes: readonly Classification[];
  /** From the call to the answer. */
  readonly milliseconds: number;
}

/** What `load` and `predict` throw; where a signal was aborted, its reason instead. */
export class ModelError extends Error {
  readonly code: ErrorCode;
  /** What to try. */
  readonly remedy: string;
}

export interface Model {
  readonly info: Info;
  /** Takes turns; outputs belong to the caller. */
  predict(input: Input, options?: { readonly signal?: AbortSignal }): Promise<Prediction>;
  /** Ends the worker; what is under way fails with `disposed`. */
  dispose(): void;
}

export function load(options?: LoadOptions): Promise<Model>;

/**
 * In browsers: register the package's sw.js, which keeps this page for starts without a network. Call it after `load`.
 * `more`: addresses that the page needs beyond what it has loaded by elements and imports, such as what it asks for by `fetch`.
 */
export function keepOffline(script: string | URL, more?: readonly string[]): Promise<void>;

export const description: {
  readonly name: string;
  readonly version: string;
  readonly labels: readonly Label[];
  readonly runtimes: readonly RuntimeName[];
  readonly inputs: readonly { readonly name: string; readonly shape: readonly (number | null)[]; readonly dtype: string }[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly (number | null)[]; readonly dtype: string }[];
};
