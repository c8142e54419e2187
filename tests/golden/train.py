"""train.py - what PyTorch says about training the tiny models.

    python train.py            (in tests/golden; reads models/, writes train/NAME.safetensors)

Needs torch, transformers and safetensors; made with torch 1.13 and transformers 4.48.3. The tests
read the files alone.

A file holds a few batches of random ids and labels and, for the model models/NAME, without dropout:
    ids, targets     I32 [tokens of all batches]; a target of -100 does not count
    seq_begin        I32 [sequences + 1]
    batch_begin      I32 [batches + 1], in sequences
    loss, gradient.* F32: the mean loss of the first batch and its gradient by each parameter, with
                     the names and the layout of src/train/params.h
    losses           F32 [20]: before each of twenty steps of AdamW over the batches in turn, with
                     learning rate 1e-3, warmed up over two steps and falling linearly to zero at
                     twenty, weight decay 0.01 (not for biases and norms), gradients clipped to 1
"""
import os

import torch
from safetensors.torch import save_file
from transformers import AutoModelForTokenClassification

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES = [[7, 12, 3], [20], [5, 5, 9, 2], [90, 1]]
STEPS, WARMUP, RATE, DECAY = 20, 2, 1e-3, 0.01


def parameters(model):
    """Our name → the tensors that are one under it, stacked."""
    p = dict(model.named_parameters())
    bert = "bert.embeddings.word_embeddings.weight" in p
    base = "bert." if bert else "distilbert."
    out = {"word": ["embeddings.word_embeddings.weight"], "position": ["embeddings.position_embeddings.weight"],
           "gain": ["embeddings.LayerNorm.weight"], "bias": ["embeddings.LayerNorm.bias"]}
    if bert:
        out["type"] = ["embeddings.token_type_embeddings.weight"]
        parts = {"qkv": ["attention.self.query", "attention.self.key", "attention.self.value"], "out": ["attention.output.dense"],
                 "attn_norm": ["attention.output.LayerNorm"], "ffn1": ["intermediate.dense"], "ffn2": ["output.dense"],
                 "ffn_norm": ["output.LayerNorm"]}
        layer = "encoder.layer.%d."
    else:
        parts = {"qkv": ["attention.q_lin", "attention.k_lin", "attention.v_lin"], "out": ["attention.out_lin"],
                 "attn_norm": ["sa_layer_norm"], "ffn1": ["ffn.lin1"], "ffn2": ["ffn.lin2"], "ffn_norm": ["output_layer_norm"]}
        layer = "transformer.layer.%d."
    for i in range(model.config.num_hidden_layers):
        for name, members in parts.items():
            for kind in ("weight", "bias"):
                out[f"layer.{i}.{name}.{kind}"] = [layer % i + m + "." + kind for m in members]
    found = {ours: [p[base + t] for t in theirs] for ours, theirs in out.items()}
    found["classifier.weight"], found["classifier.bias"] = [p["classifier.weight"]], [p["classifier.bias"]]
    return found


def batch_loss(model, sequences):
    """sequences: [(ids, targets)] padded into one batch, as a collator does it."""
    n = max(len(ids) for ids, _ in sequences)
    ids, mask, labels = (torch.full((len(sequences), n), fill) for fill in (0, 0, -100))
    for i, (seq, targets) in enumerate(sequences):
        ids[i, :len(seq)], mask[i, :len(seq)], labels[i, :len(seq)] = seq, 1, targets
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss


def make(name):
    model = AutoModelForTokenClassification.from_pretrained(os.path.join(HERE, "models", name)).eval()
    gen = torch.Generator().manual_seed(sum(name.encode()))
    def draw(n, high):
        return torch.randint(0, high, (n,), generator=gen)
    batches = []
    for lengths in BATCHES:
        batch = []
        for n in lengths:
            # Not 0: PyTorch keeps [PAD]'s row from learning, and no text of ours has [PAD].
            ids, targets = draw(n, model.config.vocab_size - 1) + 1, draw(n, model.config.num_labels)
            targets[draw(n, 3) == 0] = -100
            targets[0] = 1
            batch.append((ids, targets))
        batches.append(batch)
    sequences = [s for b in batches for s in b]
    out = {"ids": torch.cat([s[0] for s in sequences]).int(), "targets": torch.cat([s[1] for s in sequences]).int(),
           "seq_begin": torch.tensor([0] + [len(s[0]) for s in sequences]).cumsum(0).int(),
           "batch_begin": torch.tensor([0] + [len(b) for b in batches]).cumsum(0).int()}

    loss = batch_loss(model, batches[0])
    loss.backward()
    out["loss"] = loss.detach().reshape(1)
    for ours, tensors in parameters(model).items():
        grad = torch.cat([t.grad for t in tensors])
        out["gradient." + ours] = (grad[0] if ours == "type" else grad).clone()

    named = list(model.named_parameters())
    plain = [p for n, p in named if n.endswith("bias") or "LayerNorm" in n or "layer_norm" in n]
    decaying = [p for n, p in named if not any(p is q for q in plain)]
    optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}], lr=RATE, eps=1e-8)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: s / WARMUP if s < WARMUP else (STEPS - s) / (STEPS - WARMUP))
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = batch_loss(model, batches[step % len(batches)])
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    out["losses"] = torch.tensor(losses)
    print(name, losses[0], losses[-1])
    save_file(out, os.path.join(HERE, "train", name + ".safetensors"))
    os.chmod(os.path.join(HERE, "train", name + ".safetensors"), 0o644)


if __name__ == "__main__":
    os.makedirs(os.path.join(HERE, "train"), exist_ok=True)
    for each in ("distil-cased", "distil-odd", "bert-uncased"):
        make(each)
