// The decoder for WebAssembly: a model from its tensors, and pictures from their tiles' streams (FORMAT 6.2 to 8.3).
// The container is read in JavaScript (container.js), which calls what is exported here in this order:
//   lic_tensor for each tensor, lic_model;  then for each picture  lic_begin, lic_tile for each tile, lic_render,
//   lic_end.
// Nothing here trusts the file; of the caller it trusts that pointers hold what they should. What is thrown ends the
// instance (exceptions.cpp).
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "image.h"
#include "nn/kernel_sets.h"
#include "nn/photo.h"
#include "nn/planes.h"

#define LIC_EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace {

namespace nn = lic::nn;

// The types of FORMAT 9.2 that a decoder takes, in the order in which engine.js numbers them.
constexpr const char* kTypes[] = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"};

struct Tensors {
    lic::Arrays arrays;
    nn::Tensors layers;
};

// One picture's work.
struct Picture {
    lic::Setting setting;
    lic::Tiling tiling;
    std::int32_t q;
    std::size_t hz, wz;
    std::vector<std::int16_t> z, r;
    bool coarse = false;
};

Tensors tensors;
std::optional<lic::Model> model;
std::optional<nn::Photo> photo;
std::optional<Picture> picture;

}  // namespace

// Memory of the caller's, or null.
LIC_EXPORT(lic_take) void* lic_take(std::size_t size) { return std::malloc(size); }
LIC_EXPORT(lic_give) void lic_give(void* memory) { std::free(memory); }

// Bytes that stand in planes (FORMAT 9.2). runs: for each tensor the bytes of an element, whether it is signed, and
// how many there are. Returns whether they take `size` bytes; nothing is done otherwise.
LIC_EXPORT(lic_join)
bool lic_join(const std::uint32_t* runs, std::size_t count, const std::uint8_t* planes, std::size_t size,
              std::uint8_t* out) {
    std::vector<nn::Run> all;
    for (std::size_t n = 0; n < count; ++n, runs += 3) all.push_back({runs[0], runs[1] != 0, runs[2]});
    std::size_t found = 0;
    if (!nn::size_of(all, size, &found) || found != size) return false;
    nn::join_planes(all, planes, out);
    return true;
}

// Takes note of a tensor, whose data stay where they are until lic_model has returned, aligned for its type.
LIC_EXPORT(lic_tensor)
void lic_tensor(const char* name, std::size_t type, const std::uint32_t* sides, std::size_t rank, const void* data) {
    const std::string word = kTypes[type];
    const std::vector<std::size_t> shape(sides, sides + rank);
    tensors.arrays[name] = {word, shape, data};
    if (word == "int16") tensors.layers.add(name, {nn::Type::int16, shape, data});
    if (word == "uint16") tensors.layers.add(name, {nn::Type::uint16, shape, data});
    if (word == "int32") tensors.layers.add(name, {nn::Type::int32, shape, data});
    if (word == "int64") tensors.layers.add(name, {nn::Type::int64, shape, data});
}

// Checks and packs. Throws what is wrong.
LIC_EXPORT(lic_model)
void lic_model(std::int32_t latent, std::int32_t hyper, std::int32_t points, std::int32_t rows, std::int32_t skip) {
    model.emplace(tensors.arrays, lic::Numbers{latent, hyper, points, rows, skip});
    photo.emplace(tensors.layers, *nn::find_kernels("auto"));
    if (model->planes() != 1 || model->M() != photo->latent() || model->C() != photo->hyper()) {
        throw lic::BadModel("its tables and its networks have different latents");
    }
    tensors = {};
}

// A picture of (hy, wy) latent positions, tiles of side S, quality Q, `count` thresholds of stages, and the quality map
// (hz, wz) or null. Returns why it cannot be, or null.
LIC_EXPORT(lic_begin)
const char* lic_begin(std::size_t hy, std::size_t wy, std::size_t side, std::int32_t q, const std::uint8_t* thresholds,
                      std::size_t count, const std::int8_t* map) {
    lic::Stages stages;
    if (const char* wrong = lic::make_stages(thresholds, count, stages)) return wrong;
    const lic::Shape s = model->shape(hy, wy);
    picture.emplace(Picture{model->at(q, stages), {hy, wy, side}, q, s.a, s.b, {}, {}});
    if (map) picture->setting.shift.assign(map, map + s.a * s.b);
    picture->z.resize(s.z_size());
    picture->r.resize(s.r_size());
    return nullptr;
}

// A tile's stream, its stages one behind the other, and where each ends. may_end: whether it may break off. Returns
// what is wrong with it, or null.
LIC_EXPORT(lic_tile)
const char* lic_tile(std::size_t number, const std::uint8_t* data, const std::uint32_t* ends, bool may_end) {
    const std::vector<std::size_t> all(ends, ends + picture->setting.stages.count);
    const lic::Outcome outcome =
        lic::read_tile(*model, picture->setting, picture->tiling, number, {data, all.data(), all.back(), may_end},
                       picture->z.data(), picture->r.data());
    picture->coarse |= outcome.cut;
    return outcome.status == lic::Status::ok ? nullptr : lic::describe(outcome.status);
}

// Samples (height, width, bands) of `depth` bits, of rows from `top` to `bottom`: bytes or, of more than 8 bits, u16.
LIC_EXPORT(lic_render)
void lic_render(std::size_t top, std::size_t bottom, std::size_t width, std::size_t bands, int depth,
                std::uint8_t* out) {
    const Picture& p = *picture;
    const std::size_t n = p.hz * p.wz;
    std::vector<std::int16_t> v(p.z.size());
    model->dequantise(p.setting, p.z.data(), n, v.data());
    nn::Image image{p.tiling.hy,
                    p.tiling.wy,
                    {v.data(), n, p.wz, 0, 0},
                    {p.r.data(), p.tiling.hy * p.tiling.wy, p.tiling.wy, 0, 0}};
    if (!p.setting.shift.empty()) image.shift = {p.setting.shift.data(), p.wz};
    nn::Canvas canvas{out, 0, bands, top, 0, bottom, width, depth};
    canvas.row_stride = width * canvas.pixel_bytes();
    photo->render(image, p.q, canvas, 1);
}

// The picture's memory back.
LIC_EXPORT(lic_end) void lic_end() { picture.reset(); }
