"""Tiny models of transformers, trained on the spot."""

MARKS = {"left": "aaaa", "center": "bbbb", "right": "cccc"}


def words_tokenizer(words, *, pair=True, chat_template=None):
    """A tokenizer of whole words and marks, as BERT's frames texts (or, without a pair, plain)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = [*special, *dict.fromkeys(words)]
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if pair:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        chat_template=chat_template,
        model_max_length=256,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"]
        if pair
        else ["input_ids", "attention_mask"],
    )


WORDS = [*MARKS.values(), *(f"w{n}" for n in range(60)), *MARKS, "This", "text", "is", "."]


def tiny_bert(architecture, tokenizer, folder, examples=None, answers=(), *, labels=(), **config):
    """A tiny BERT, trained on examples to give the answers; saved to a folder."""
    import torch
    import transformers

    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=256, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=0.3, **(names if labels else {}),
        **config,
    )  # fmt: skip
    model = getattr(transformers, architecture)(config)
    if examples:
        batch = tokenizer(examples, padding=True, return_tensors="pt")
        target = torch.tensor(answers)
        optimiser = torch.optim.AdamW(model.parameters(), 0.01)
        for _ in range(60):
            optimiser.zero_grad()
            model(**batch, labels=target).loss.backward()
            optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_gpt2(folder, examples=(), *, chat_template=None, words=(), positions=128):
    """A tiny GPT-2 on whole words, trained to end its examples as they end; saved to a folder."""
    import torch
    import transformers

    tokenizer = words_tokenizer([*WORDS, *words], pair=False, chat_template=chat_template)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=24, n_layer=1, n_head=2, n_positions=positions,
        bos_token_id=None, eos_token_id=3, initializer_range=0.3, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config)
    if examples:
        ids = [tokenizer(example, add_special_tokens=False)["input_ids"] for example in examples]
        assert len({len(one) for one in ids}) == 1
        batch = torch.tensor(ids)
        optimiser = torch.optim.AdamW(model.parameters(), 0.01)
        for _ in range(80):
            optimiser.zero_grad()
            logits = model(batch[:, :-1]).logits[:, -1]
            torch.nn.functional.cross_entropy(logits, batch[:, -1]).backward()
            optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
