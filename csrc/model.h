// A model as the coder sees it (FORMAT 7 and 9.2): its tables, checked once, and all that is done with them at a
// quality. Includes rate_point.h, tables.h, tile.h, residual/kinds.h and the standard library; must not include Python.
// Throws BadModel when it is made, and otherwise nothing but std::bad_alloc. Unchanging: any number of threads may use
// one.
#ifndef LIC_MODEL_H
#define LIC_MODEL_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rate_point.h"
#include "residual/kinds.h"
#include "tables.h"
#include "tile.h"

namespace lic {

// The probability rows of a model (FORMAT 7.2).
struct Banks {
    Bank scales;
    ZRows z;
};

// Whether an array of this name is one of a model's tables (FORMAT 9.2).
bool is_table(const std::string& name);

class Model {
 public:
    // Copies what it needs and ignores further arrays.
    Model(const Arrays& arrays, const Numbers& numbers);

    const Numbers& numbers() const { return numbers_; }
    std::size_t M() const { return static_cast<std::size_t>(numbers_.latent); }
    std::size_t C() const { return static_cast<std::size_t>(numbers_.hyper); }
    std::size_t levels() const { return levels_; }    // X, FORMAT 7.4
    std::size_t classes() const { return classes_; }  // of neighbours, FORMAT 7.4
    const Banks& banks() const { return banks_; }
    const ScaleMap& map() const { return map_; }
    const Residual& residual() const { return residual_; }

    const char* kind() const;                    // the residual kind's name
    std::int32_t unit() const;                   // what r is made of: 1, or as many to a step of the network
    std::size_t planes() const;                  // of the map for each channel of r: 3 K, or 1
    std::vector<std::int32_t> spacings() const;  // from one level of r to the next, of each scale
    std::int32_t values() const;                 // that a byte of the map may take
    std::size_t scale_rows() const;              // of the bank, before those of z

    Shape shape(std::size_t h, std::size_t w) const;  // of a tile or an image of h x w latent positions

    // Q from LIC_QUALITY_MIN to LIC_QUALITY_MAX. The result refers to this model.
    Setting at(std::int32_t q, const Stages& stages = {}) const;

    // Whether residuals can stand in more stages than one; whether their intervals may be given.
    bool staged() const;
    bool takes_intervals() const;

    // Thresholds of the scale index at which about so large shares of an image's bits lie before, rising from 0 to 1;
    // fewer where they fall together. z: (C, a, b).
    Stages stages_at(const Setting& q, const Shape& s, const std::int16_t* z, const std::vector<double>& shares) const;

    // A tile's stream and its integers (FORMAT 6.3, 7). z: (C, a, b), r: (M, h, w), both at most as a tile may be.
    Outcome decode(const Setting& q, const Shape& s, const Streamed& from, std::int16_t* z, std::int16_t* r) const;
    Status encode(const Setting& q, const Shape& s, const std::int16_t* z, const std::int16_t* r, Stream& out,
                  const Given* given = nullptr) const;

    // The scale index (FORMAT 7.5), or the bytes of mixtures (7.8): (planes * M, h, w).
    void index(const Setting& q, const Shape& s, const std::int16_t* z, std::uint8_t* out) const;

    // v of FORMAT 7.5, in units of 1/32. z, v: (C, n).
    void dequantise(const Setting& q, const std::int16_t* z, std::size_t n, std::int16_t* v) const;

    // The row of every z, counted from the first one of z.
    void z_rows(const Setting& q, const Shape& s, const std::int16_t* z, std::uint16_t* rows) const;

    // What an encoder asks of a residual kind; indices as `index` gives them.
    Status price(const Coded& t, double& bits) const;
    Status symbols(const Coded& t, std::int16_t* symbol, std::uint8_t* row) const;
    void quantise(const Unquantised& t) const;

 private:
    struct Parts;
    explicit Model(const Parts& parts);

    Numbers numbers_;
    std::vector<std::uint16_t> z_level_;  // (P, C, X - 1)
    std::size_t levels_, classes_;
    Banks banks_;
    ScaleMap map_;
    std::vector<std::int32_t> bias_;    // (P, the map's channels)
    std::vector<std::uint8_t> z_step_;  // (P, C)
    Residual residual_;
    std::vector<double> entropy_;  // (scale rows,) bits of a symbol, in the mean
};

}  // namespace lic

#endif
