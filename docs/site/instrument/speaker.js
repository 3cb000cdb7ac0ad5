// Plays the samples that the worker sends, and tells it how many were played.

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];
    this.offset = 0; // Samples of the first block that were played.
    this.n_played = 0;
    this.n_missing = 0; // Samples of silence, because nothing was queued.
    this.port.onmessage = ({ data }) => {
      this.source = data;
      this.source.onmessage = ({ data: samples }) => this.queue.push(samples);
    };
  }

  process(_inputs, [[out]]) {
    let n = 0;
    while (n < out.length && this.queue.length) {
      const block = this.queue[0].subarray(this.offset, this.offset + out.length - n);
      out.set(block, n);
      n += block.length;
      this.offset += block.length;
      if (this.offset === this.queue[0].length) {
        this.queue.shift();
        this.offset = 0;
      }
    }
    this.n_played += n;
    if (this.n_played) this.n_missing += out.length - n;
    this.source?.postMessage([this.n_played, this.n_missing]);
    return true;
  }
}

registerProcessor("speaker", Speaker);
