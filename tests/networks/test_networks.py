from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import get_model

from skada_active.networks import MLP, ConvNet, CosineHead, Standardize, torchvision_backbone


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_standardize_makes_columns_of_mean_zero_and_deviation_one():
    X = 5 + 3 * rows(50, 4)
    out = Standardize.fitted_to(X)(X)
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(4))


def test_standardize_works_by_channel_of_images():
    X = torch.stack([rows(20, 6, 5), 100 + 10 * rows(20, 6, 5)], dim=1)
    module = Standardize.fitted_to(X)
    assert module.mean.shape == (2,)
    out = module(X)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((0, 2, 3), correction=0), torch.ones(2))


def test_standardize_gives_the_same_statistics_in_blocks(monkeypatch):
    X = 3 + rows(101, 7)
    whole = Standardize.fitted_to(X)
    monkeypatch.setitem(Standardize.fitted_to.__func__.__globals__, "_BLOCK_VALUES", 50)
    blocks = Standardize.fitted_to(X)
    torch.testing.assert_close(blocks.mean, whole.mean)
    torch.testing.assert_close(blocks.scale, whole.scale)
    torch.testing.assert_close(whole.scale, X.std(0, correction=0))


def test_standardize_only_shifts_constant_columns():
    X = torch.tensor([[7e6, 1.0], [7e6, 3.0]])
    module = Standardize.fitted_to(X)
    assert module.scale.tolist() == [1.0, 1.0]
    assert module(X)[:, 0].tolist() == [0.0, 0.0]


def test_standardize_keeps_the_variance_of_large_values():
    X = 1e4 + torch.tensor([[0.0], [1.0], [2.0]])
    assert Standardize.fitted_to(X).scale.item() == pytest.approx((2 / 3) ** 0.5, rel=1e-6)


def test_standardize_takes_bytes():
    X = torch.randint(0, 256, (30, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = Standardize.fitted_to(X.float())
    torch.testing.assert_close(Standardize.fitted_to(X).scale, expected.scale)


def test_standardize_has_nothing_to_train():
    module = Standardize.fitted_to(rows(5, 2))
    assert list(module.parameters()) == []
    assert set(module.state_dict()) == {"mean", "scale"}


def test_mlp_by_default_is_one_linear_layer_with_batch_normalisation():
    assert [type(layer) for layer in MLP(5)] == [nn.Linear, nn.BatchNorm1d]
    assert MLP(5)(rows(3, 5)).shape == (3, 256)


def test_mlp_without_batch_normalisation_is_linear_and_relu_only():
    assert [type(layer) for layer in MLP(5, (4, 3), batch_norm=False)] == [nn.Linear, nn.ReLU, nn.Linear]


def test_mlp_ends_without_an_activation():
    assert [type(layer) for layer in MLP(5, (4, 3))][-2:] == [nn.Linear, nn.BatchNorm1d]
    assert (MLP(5, (4, 3))(rows(9, 5)) < 0).any()


def test_mlp_drops_out_in_training_only():
    module = MLP(5, (16, 16), dropout=0.5)
    assert any(isinstance(layer, nn.Dropout) for layer in module)
    module.eval()
    assert torch.equal(module(rows(3, 5)), module(rows(3, 5)))


def test_mlp_without_dropout_has_no_such_layer():
    assert not any(isinstance(layer, nn.Dropout) for layer in MLP(5, (16, 16)))


@pytest.mark.parametrize("size", [8, 13, 28])
def test_convnet_embeds_images_of_any_size_from_8(size):
    assert ConvNet(3, out_features=32)(rows(2, 3, size, size)).shape == (2, 32)


def test_convnet_takes_its_channels():
    convolutions = [layer for layer in ConvNet(1, channels=(4, 8, 16)) if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [4, 8, 16]


def test_cosine_head_gives_cosines_over_the_temperature():
    head, features = CosineHead(6, 3, temperature=0.1), F.normalize(rows(4, 6))
    expected = F.cosine_similarity(features[:, None], head.directions[None], dim=2) / 0.1
    torch.testing.assert_close(head(features), expected)


def test_cosine_head_is_a_linear_map_by_its_weight_and_bias():
    head, features = CosineHead(6, 3), F.normalize(rows(4, 6))
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)


def test_cosine_head_does_not_depend_on_the_length_of_its_directions():
    head, features = CosineHead(6, 3), F.normalize(rows(4, 6))
    before = head(features)
    with torch.no_grad():
        head.directions.mul_(7)
    torch.testing.assert_close(head(features), before)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_backbone_has_a_bottleneck_of_the_width_asked_for(name):
    backbone = torchvision_backbone(name, out_features=16).eval()
    with torch.no_grad():
        assert backbone(rows(1, 3, 32, 32)).shape == (1, 16)


def test_torchvision_backbone_without_bottleneck_gives_the_input_of_the_classifier():
    with torch.no_grad():
        assert torchvision_backbone("resnet18", out_features=None).eval()(rows(1, 3, 32, 32)).shape == (1, 512)


def test_torchvision_backbone_without_linear_layer_is_refused_by_name():
    with pytest.raises(ValueError, match="squeezenet1_0"):
        torchvision_backbone("squeezenet1_0")


@pytest.mark.parametrize("layers", [MLP(5, (4, 3)), ConvNet(3), torchvision_backbone("resnet18", out_features=4)[1:]])
def test_no_bias_stands_before_batch_normalisation(layers):
    modules = list(layers)
    before = [first for first, second in pairwise(modules) if hasattr(second, "running_mean")]
    assert before
    assert all(layer.bias is None for layer in before)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_backbone_has_no_auxiliary_classifiers(name):
    backbone = torchvision_backbone(name, out_features=4)
    images = rows(2, 3, 75, 75)
    with torch.no_grad():
        assert backbone.train()(images).shape == backbone.eval()(images).shape == (2, 4)


@pytest.mark.parametrize(
    "name",
    ["alexnet", "convnext_tiny", "shufflenet_v2_x0_5", "swin_t", "vgg11", "vit_b_16"],
)
def test_torchvision_backbone_gives_the_input_of_the_classifier(name):
    with torch.device("meta"):  # shapes alone: some of these take seconds
        model, backbone = get_model(name, weights=None), torchvision_backbone(name, out_features=None)
        images, inputs = torch.zeros(2, 3, 224, 224), []
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        last.register_forward_hook(lambda module, args, output: inputs.append(args[0]))
        model(images)
        assert backbone.train()(images).shape == backbone.eval()(images).shape == inputs[0].shape


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18", "raft_small", "resnet_18"])
def test_torchvision_backbone_refuses_what_classifies_no_images(name):
    with pytest.raises(ValueError, match=f"{name}.*list_models"):
        torchvision_backbone(name)


def test_torchvision_backbone_reads_weights_from_a_file(tmp_path):
    torch.save(get_model("resnet18", num_classes=7).state_dict(), tmp_path / "resnet.pth")
    loaded = torchvision_backbone("resnet18", weights=tmp_path / "resnet.pth", out_features=None)
    again = torchvision_backbone("resnet18", weights=str(tmp_path / "resnet.pth"), out_features=4)[0]
    for name, weight in torch.load(tmp_path / "resnet.pth").items():
        if not name.startswith("fc."):
            assert torch.equal(loaded.state_dict()[name], weight)
            assert torch.equal(again.state_dict()[name], weight)


def test_torchvision_backbone_refuses_weights_of_another_model(tmp_path):
    torch.save(get_model("resnet34").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"is no state_dict of 'resnet18': it differs by \['layer1.2"):
        torchvision_backbone("resnet18", weights=tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError):
        torchvision_backbone("resnet18", weights="nowhere.pth")
