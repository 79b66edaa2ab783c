// Fuzzes the native engine (csrc/nn; FORMAT 8 and 9.2): networks that are not as they should be, and any symbols.
// Needs no Python. Built and run as fuzz_tile.cpp is (tests/fuzz/run.sh); with -DLIC_REPLAY a plain program.
//
// Input: | rows u8 | columns u8 | q u16 | bands u8 | changes u8 | 8 bytes a change | symbols |. A change is a tensor,
// what to do to it, and where: a value, a type, a side, or the whole of it.
//
// Invariants:
//   1. No input reads or writes outside a buffer, and no sum overflows (UBSan in the plain kernels).
//   2. Networks are refused as BadModel, or all kernel sets, in one thread and in three, make the same y_hat and
//   samples.
//   3. Planes of any bytes are elements of any runs, and back.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "nn/kernel_sets.h"
#include "nn/photo.h"
#include "nn/planes.h"
#include "require.h"
#include "test/random_model.h"

namespace {

using namespace lic::nn;

struct Input {
    const std::uint8_t* at;
    std::size_t left;
    std::uint64_t take(std::size_t bytes) {
        std::uint64_t x = 0;
        for (std::size_t i = 0; i < bytes && left; ++i, ++at, --left) x |= std::uint64_t{*at} << (8 * i);
        return x;
    }
};

// A tensor in memory of its exact size, so that reading beyond it is seen.
struct Owned {
    Type type;
    std::vector<std::size_t> shape;
    std::vector<std::uint8_t> bytes;
};

std::size_t width_of(Type type) { return type == Type::int64 ? 8 : type == Type::int32 ? 4 : 2; }

std::vector<std::pair<std::string, Owned>> owned() {
    test::Model model;
    test::fill(model);
    std::vector<std::pair<std::string, Owned>> all;
    model.tensors.each([&](const std::string& name, const Tensor& t) {
        std::size_t size = width_of(t.type);
        for (const std::size_t side : t.shape) size *= side;
        const auto* from = static_cast<const std::uint8_t*>(t.data);
        all.push_back({name, {t.type, t.shape, {from, from + size}}});
    });
    return all;
}

// Returns whether the tensor stays.
bool change(Owned& tensor, Input& in) {
    const std::uint64_t what = in.take(1), where = in.take(2), value = in.take(4);
    const std::size_t width = width_of(tensor.type);
    const std::int64_t wide = static_cast<std::int32_t>(value);
    switch (what % 6) {
        case 0:
            return false;
        case 1:
            tensor.type = static_cast<Type>(value % 4);
            break;
        case 2:
            tensor.shape[where % tensor.shape.size()] = value % 1200;
            break;
        case 3:  // a value, of 64 bits a large one
            for (std::size_t k = 0; k < width; ++k)
                tensor.bytes[where * width % (tensor.bytes.size() / width * width) / width * width + k] =
                    static_cast<std::uint8_t>((width == 8 ? wide * (1 << 24) : wide) >> (8 * k));
            return true;
        default:  // all of it
            for (std::size_t i = 0; i < tensor.bytes.size(); ++i)
                tensor.bytes[i] = static_cast<std::uint8_t>(value >> (8 * (i % width % 4)));
            return true;
    }
    std::size_t size = width_of(tensor.type);
    for (const std::size_t side : tensor.shape) size *= side;
    tensor.bytes.resize(std::min<std::size_t>(size, 1 << 22));  // of what is larger the bytes are not there to be read
    return size <= 1 << 22;
}

void planes(Input in) {
    std::vector<Run> runs;
    std::size_t size = 0;
    for (std::size_t k = 0; k < 5; ++k)
        runs.push_back({std::size_t{1} << in.take(1) % 4, in.take(1) % 2 > 0, in.take(1)});
    REQUIRE(size_of(runs, 1 << 16, &size));
    std::vector<std::uint8_t> from(size), to(size), back(size);
    for (std::uint8_t& byte : from) byte = static_cast<std::uint8_t>(in.take(1));
    join_planes(runs, from.data(), to.data());
    split_planes(runs, to.data(), back.data());
    REQUIRE(from == back);
}

struct Made {
    std::vector<i16> y_hat;
    std::vector<std::uint8_t> pixels;
    bool operator==(const Made& other) const { return y_hat == other.y_hat && pixels == other.pixels; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto whole = owned();
    Input in{data, size};
    planes(in);
    const std::size_t height = 1 + in.take(1) % 150, width = 1 + in.take(1) % 90;
    const int q = 100 + static_cast<int>(in.take(2) % 9901);
    const std::size_t bands = in.take(1) % 2 ? 3 : 1;
    auto all = whole;
    std::vector<bool> there(all.size(), true);
    for (std::uint64_t changes = in.take(1) % 8; changes > 0; --changes) {
        const std::size_t n = in.take(1) % all.size();
        there[n] = there[n] && change(all[n].second, in);
    }
    Tensors tensors;
    for (std::size_t n = 0; n < all.size(); ++n) {
        const Owned& one = all[n].second;
        if (there[n]) tensors.add(all[n].first, {one.type, one.shape, one.bytes.data()});
    }
    const std::size_t hy = (height + 15) / 16, wy = (width + 15) / 16, hz = (hy + 3) / 4, wz = (wy + 3) / 4;
    std::optional<Made> first;
    for (const Kernels* kernels : available_kernels()) {
        std::unique_ptr<const Photo> photo;
        try {
            photo = std::make_unique<const Photo>(tensors, *kernels);
        } catch (const BadModel&) {
            REQUIRE(!first);
            continue;
        }
        std::vector<i16> v(photo->hyper() * hz * wz), r(photo->latent() * hy * wy);
        Input symbols = in;
        for (i16& x : v) x = static_cast<i16>(symbols.take(2));
        for (i16& x : r) x = static_cast<i16>(symbols.take(2));
        const Image image{hy, wy, {v.data(), hz * wz, wz, 0, 0}, {r.data(), hy * wy, wy, 0, 0}};
        Made made{std::vector<i16>(r.size()), std::vector<std::uint8_t>(height * width * bands)};
        photo->latents(image, q, made.y_hat.data());
        for (const std::size_t threads : {std::size_t{1}, std::size_t{3}}) {
            photo->render(image, q, {made.pixels.data(), width * bands, bands, 0, 0, height, width}, threads);
            if (!first) first = made;
            REQUIRE(made == *first);
        }
    }
    return 0;
}

#ifdef LIC_REPLAY
// Files, or a number: so many inputs of random bytes.
int main(int count, char** names) {
    lic::nn::test::Random random;
    const long times = count == 2 ? std::strtol(names[1], nullptr, 10) : 0;
    for (long n = 0; n < times; ++n) {
        std::vector<std::uint8_t> data(static_cast<std::size_t>(random.within(0, 600)));
        for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(random.next() >> 40);
        LLVMFuzzerTestOneInput(data.data(), data.size());
    }
    for (int k = 1; times == 0 && k < count; ++k) {
        std::FILE* file = std::fopen(names[k], "rb");
        if (!file) return 1;
        std::vector<std::uint8_t> data(1 << 20);
        data.resize(std::fread(data.data(), 1, data.size(), file));
        std::fclose(file);
        LLVMFuzzerTestOneInput(data.data(), data.size());
    }
    return 0;
}
#endif
